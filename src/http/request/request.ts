import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../access/index.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the access guard on every route that is not public. */
    actor?: Actor;
  }
  interface FastifyContextConfig {
    /** Most bytes of body this route takes; see `@BodyLimit`. */
    bodyLimitBytes?: number;
    /** Text that cannot be stored is replaced instead of refused. */
    repairsText?: boolean;
    /** Halves of surrogate pairs stay in the body; see `parseJsonBody`. */
    keepsHalves?: boolean;
    /** The body is a report of an error, of which only known members are read; see `parseJsonBody`. */
    isReport?: boolean;
    /** The member of the body whose items are refused one by one; see `parseJsonItems`. */
    itemsMember?: string | null;
    /** The route reads its body by itself; see `@RawBody`. */
    rawBody?: boolean;
  }
}

/** The path of a request as sent, without its query. */
export function pathOf(request: Pick<FastifyRequest, 'url'>): string {
  const end = request.url.indexOf('?');
  return end === -1 ? request.url : request.url.slice(0, end);
}
