import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply } from 'fastify';

/**
 * What the edge has put on a reply so far: security headers, the request id, CORS. A hijacked reply loses them unless whoever
 * writes its head puts them there.
 */
export function rawHeaders(reply: FastifyReply): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) {
      headers[name] = value;
    }
  }
  return headers;
}
