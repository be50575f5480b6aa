import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DomainError } from '../../kernel/errors.js';
import { rejectSlowBody } from '../filters/pre-routing-errors.js';

/** The one type under which Fastify sees raw bodies, so that no parser reads them. */
const RAW_TYPE = 'application/x-raw-body';
/** A body that is parsed has to be whole by then; a raw one may take as long as it keeps coming. */
const WHOLE_BODY_MS = 60_000;
const STALLED_MS = 60_000;

const declaredTypes = new WeakMap<FastifyRequest, string>();

/**
 * The route reads its body by itself, of any type and size, from `rawBody`; nothing of it is read before the handler asks. Whatever
 * refuses the request before that closes its connection, since the rest of the body may still be on its way.
 */
export function RawBody(): MethodDecorator {
  return RouteConfig({ rawBody: true });
}

/** Lets routes take raw bodies, and holds all others to the time in which a body has to arrive. To be called once, before routes. */
export function registerRawBodies(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    const { headers } = request.raw;
    if (request.routeOptions.config.rawBody === true) {
      declaredTypes.set(request, headers['content-type'] ?? '');
      headers['content-type'] = RAW_TYPE;
      if (headers['content-length'] !== '0') {
        void reply.header('connection', 'close');
      }
    } else if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') {
      const timer = setTimeout(() => rejectSlowBody(fastify, request), WHOLE_BODY_MS).unref();
      request.raw.once('close', () => clearTimeout(timer));
    }
    done();
  });
  fastify.addContentTypeParser(RAW_TYPE, (_request, _payload, done) => done(null, undefined));
}

export interface RawBodyOf {
  /** As the client named it; empty where it did not. */
  contentType: string;
  /** Null where the client did not say. */
  lengthBytes: number | null;
  /** Once. @throws DomainError `invalid-request` where the client goes away or stalls for a minute */
  bytes: AsyncIterable<Uint8Array>;
}

/** The body of a request to a route with `@RawBody()`. */
export function rawBody(request: FastifyRequest): RawBodyOf {
  const length = request.headers['content-length'];
  return {
    contentType: declaredTypes.get(request) ?? '',
    lengthBytes: length === undefined ? null : Number(length),
    bytes: arriving(request),
  };
}

async function* arriving(request: FastifyRequest): AsyncGenerator<Uint8Array> {
  const { raw } = request;
  const timer = setTimeout(() => raw.destroy(new Error('stalled')), STALLED_MS);
  try {
    const pieces: AsyncIterable<unknown> = raw;
    for await (const piece of pieces) {
      timer.refresh();
      if (piece instanceof Uint8Array) {
        yield piece;
      }
    }
  } catch (cause) {
    throw new DomainError('invalid-request', 'The upload broke off; nothing of it is kept.', { cause });
  } finally {
    clearTimeout(timer);
  }
}
