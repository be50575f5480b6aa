import { createHmac } from 'node:crypto';
import { type ExecutionContext, Injectable, type PipeTransform, createParamDecorator } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { IdempotencyTicket } from '../../database/idempotency.js';
import { KeyRing } from '../../infrastructure/keyring/keyring.js';
import { canonicalJson } from '../../kernel/canonical-json.js';
import { DomainError } from '../../kernel/errors.js';

const KEY = /^[\x21-\x7e]{1,255}$/;

/** A request that came with a key: its route, the key, and one text of all that it asks for. */
interface KeyedRequest {
  route: string;
  key: string;
  asked: string;
}

const Keyed = createParamDecorator(
  (_: unknown, context: ExecutionContext): KeyedRequest | null => {
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
    const asked = JSON.stringify([request.method, request.url, canonicalJson(request.body)]);
    return { route: `${request.method} ${request.routeOptions.url ?? ''}`, key, asked };
  },
  [documentHeader],
);

/**
 * A fingerprint is kept for a day, and a body may hold a password: a plain digest of it would let whoever got at the table try
 * passwords against it. Under a pepper, the table alone is good for nothing.
 */
@Injectable()
class FingerprintPipe implements PipeTransform<KeyedRequest | null, IdempotencyTicket | null> {
  constructor(private readonly ring: KeyRing) {}

  transform(keyed: KeyedRequest | null): IdempotencyTicket | null {
    if (keyed === null) {
      return null;
    }
    const [first, ...older] = this.ring.peppers.map(({ secret }) =>
      createHmac('sha256', secret).update('idempotency fingerprint\0').update(keyed.asked).digest(),
    );
    if (first === undefined) {
      throw new Error('the key ring has no pepper');
    }
    return { route: keyed.route, key: keyed.key, fingerprints: [first, ...older] };
  }
}

/**
 * The request's use of `Idempotency-Key`, or null without one. The fingerprint covers method, path, query and body, so that a
 * key sent again with anything else is recognised as a mistake. Documents the header on the routes that take it.
 * @throws DomainError `invalid-request` for a malformed key
 */
export function IdempotencyKey(): ParameterDecorator {
  return Keyed(FingerprintPipe);
}

function documentHeader(target: object, method: string | symbol | undefined): void {
  const descriptor = method === undefined ? undefined : Object.getOwnPropertyDescriptor(target, method);
  if (method !== undefined && descriptor !== undefined) {
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description:
        'A text that you choose for this request, such as a UUID. It is kept for 24 hours: sending the same key and request again returns ' +
        'the same reply (`idempotency-replayed: true`) and changes nothing. The same key with another request is 422, and 409 while the ' +
        'first request is still in progress.',
      schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]{1,255}$' },
    })(target, method, descriptor);
  }
}
