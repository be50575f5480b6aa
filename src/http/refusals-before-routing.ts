/**
 * Refusals that come before any route is known, so that nothing of Nest sees them: a URL that cannot be decoded, a path parameter
 * longer than any id, bytes that are no HTTP. They are worded like every other error.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError } from '../kernel/errors.js';
import type { ErrorFilter } from './error.filter.js';

/** The filter of each Fastify instance: Fastify wants these handlers before Nest has made anything. */
const filters = new WeakMap<object, ErrorFilter>();

/** From now on the filter words what this instance refuses before routing. */
export function refuseThrough(fastify: object, filter: ErrorFilter): void {
  filters.set(fastify, filter);
}

/** Fastify's `frameworkErrors`. */
export function refuseUnroutable(error: Error & { code?: string }, request: FastifyRequest, reply: FastifyReply): void {
  const refusal =
    error.code === 'FST_ERR_MAX_PARAM_LENGTH'
      ? new DomainError('not-found', 'There is nothing here.')
      : new DomainError('invalid-request', 'The URL could not be understood.');
  void reply.headers({ ...HEADERS, 'x-request-id': request.id });
  filters.get(request.server)?.reply(refusal, request, reply);
}

/** What hooks would have put on the reply; none run here. A page or a script is the last thing that these replies are. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

interface SocketRefusal {
  status: string;
  title: string;
  detail: string;
}

/** Fastify's `clientErrorHandler`: what arrived is no HTTP request, so the reply is written by hand and the connection ends. */
export function refuseMalformedHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) {
    return;
  }
  if (socket.writable) {
    socket.write(rawReply(refusalOf(error.code)));
  }
  socket.destroy(error);
}

function refusalOf(code: string | undefined): SocketRefusal {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        status: '408 Request Timeout',
        title: 'The request took too long',
        detail: 'The request did not arrive in time.',
      };
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: '431 Request Header Fields Too Large',
        title: 'The headers are too large',
        detail: 'Send fewer or shorter headers.',
      };
    default:
      return {
        status: '400 Bad Request',
        title: 'The request is not valid',
        detail: 'This is not a well-formed HTTP request.',
      };
  }
}

function rawReply({ status, title, detail }: SocketRefusal): string {
  const requestId = randomUUID();
  const body = JSON.stringify({
    type: 'urn:taskyard:problem:invalid-request',
    title,
    status: Number(status.slice(0, 3)),
    detail,
    instance: '',
    code: 'invalid-request',
    request_id: requestId,
    errors: [],
  });
  const headers = [
    `HTTP/1.1 ${status}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    ...Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ];
  return `${headers.join('\r\n')}\r\n\r\n${body}`;
}
