import { createHash } from 'node:crypto';
import { type ExecutionContext, createParamDecorator } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { IdempotencyTicket } from '../database/idempotency.js';
import { DomainError } from '../kernel/errors.js';

const KEY = /^[\x21-\x7e]{1,255}$/;

/**
 * The request's use of `Idempotency-Key`, or null without one. The fingerprint covers method, path, query and body, so that a
 * key sent again with anything else is recognised as a mistake. Documents the header on the routes that take it.
 * @throws DomainError `invalid-request` for a malformed key
 */
export const IdempotencyKey = createParamDecorator(
  (_: unknown, context: ExecutionContext): IdempotencyTicket | null => {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const key = request.headers['idempotency-key'];
    if (key === undefined) {
      return null;
    }
    if (typeof key !== 'string' || !KEY.test(key)) {
      throw new DomainError(
        'invalid-request',
        'Idempotency-Key must be 1 to 255 visible ASCII characters, without spaces.',
        {
          issues: [{ path: 'Idempotency-Key', message: '1 to 255 visible ASCII characters, without spaces' }],
        },
      );
    }
    const fingerprint = createHash('sha256')
      .update(JSON.stringify([request.method, request.url, canonical(request.body)]))
      .digest();
    return { route: `${request.method} ${request.routeOptions.url ?? ''}`, key, fingerprint };
  },
  [documentHeader],
);

function documentHeader(target: object, method: string | symbol | undefined): void {
  const descriptor = method === undefined ? undefined : Object.getOwnPropertyDescriptor(target, method);
  if (method !== undefined && descriptor !== undefined) {
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description:
        'Any text of yours, kept for 24 hours: the same key and request again get the same reply (`idempotency-replayed: true`), and ' +
        'nothing is done twice. With another request: 422; while the first is under way: 409.',
      schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]{1,255}$' },
      example: '3e0c9c1a-6d6f-4b0e-8f6e-0d6a5d5d7f10',
    })(target, method, descriptor);
  }
}

/** The same value for the same JSON, whatever the order of its keys. Depth is bounded by the body parser. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(canonical);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, item]) => [name, canonical(item)]);
  }
  return value === undefined ? null : value;
}
