import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import type { ErrorCode } from '../kernel/errors.js';
import { HTTP_STATUS } from './failure.js';

/** RFC 9457, with our `code`, `request_id` and `errors`. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string(),
    request_id: z.string(),
    errors: z.array(
      z.object({ path: z.string().describe('JSON Pointer, or ?name for a query parameter'), message: z.string() }),
    ),
  })
  .meta({ id: 'Problem' });

interface ReturnsOptions {
  description: string;
  example?: unknown;
  contentType?: string;
}

/** Documents a reply by its Zod schema. Named schemas (`.meta({id})`) arrive in `components`. */
export function Returns(status: number, schema: z.ZodType | null, options: ReturnsOptions): MethodDecorator {
  const { description, example } = options;
  return ApiResponse({
    status,
    description,
    ...(schema === null ? {} : { standardSchema: schema }),
    ...(example === undefined ? {} : { example }),
  });
}

/** Documents the errors of a route, by code, as problem+json; several codes of one status share an entry. */
export function Problems(...codes: ErrorCode[]): MethodDecorator {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = HTTP_STATUS[code][0];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return applyDecorators(
    ...[...byStatus].map(([status, group]) =>
      ApiResponse({
        status,
        description: group.map((code) => `\`${code}\`: ${HTTP_STATUS[code][1]}`).join('; '),
        standardSchema: problemSchema,
      }),
    ),
  );
}
