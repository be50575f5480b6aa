import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';
import type { ErrorCode } from '../../kernel/errors.js';
import { HTTP_STATUS } from '../filters/failure.js';
import { problemResponse } from '../openapi/problem-response.js';

interface ApiZodResponseOptions {
  description: string;
  example?: unknown;
}

/** Documents a reply by its Zod schema. Named schemas (`.meta({id})`) arrive in `components`. */
export function ApiZodResponse(
  status: number,
  schema: z.ZodType | null,
  options: ApiZodResponseOptions,
): MethodDecorator {
  const { description, example } = options;
  return ApiResponse({
    status,
    description,
    ...(schema === null ? {} : { standardSchema: schema }),
    ...(example === undefined ? {} : { example }),
  });
}

/**
 * Documents the errors that are a route's own, by code, as problem+json; several codes of one status share an entry. What every route of
 * its kind can answer (for a body, a path, a cursor, an `Idempotency-Key`, a credential …) is added by `openapi/complete-operations.ts`.
 */
export function ApiProblemResponses(...codes: ErrorCode[]): MethodDecorator {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = HTTP_STATUS[code][0];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return applyDecorators(...[...byStatus].map(([status, group]) => ApiResponse({ status, ...problemResponse(group) })));
}
