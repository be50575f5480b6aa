import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * A handler that answers with one JSON value, made and written at the first request and kept. It has an `ETag` (RFC 9110), so a client
 * that has the value gets 304.
 */
export function preparedJson(make: () => object): (request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  let prepared: { text: string; etag: string } | null = null;
  return (request, reply) => {
    if (prepared === null) {
      const text = JSON.stringify(make());
      // Weak, since compression changes the bytes and not the value.
      prepared = { text, etag: `W/"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` };
    }
    void reply.header('etag', prepared.etag).header('cache-control', 'no-cache');
    const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim());
    return known?.includes(prepared.etag) === true
      ? reply.status(304).send()
      : reply.type('application/json; charset=utf-8').send(prepared.text);
  };
}
