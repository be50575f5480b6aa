/**
 * Refusals that come before any route is known, so that nothing of Nest sees them: a URL that cannot be decoded, a path parameter
 * longer than any id, bytes that are no HTTP. They are worded like every other error.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError } from '../../kernel/errors.js';
import type { ErrorFilter } from './error.filter.js';
import { toFailure } from './failure.js';
import { pathOf } from '../request/request.js';

/** The filter of each Fastify instance: Fastify wants these handlers before Nest has made anything. */
const filters = new WeakMap<object, ErrorFilter>();

/** From now on the filter words what this instance refuses before routing. */
export function rejectThrough(fastify: object, filter: ErrorFilter): void {
  filters.set(fastify, filter);
}

/** Fastify's `frameworkErrors`. */
export function rejectUnroutable(error: Error & { code?: string }, request: FastifyRequest, reply: FastifyReply): void {
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

/** What Node's parser says of bytes that are no request. */
interface MalformedHttp extends Error {
  code?: string;
  /** The bytes that arrived last, mostly with the head of the request. */
  rawPacket?: unknown;
}

interface SocketRefusal {
  status: string;
  /** How it is worded; what is an invalid request to a surface has a status of its own here. */
  title?: string;
  detail: string;
}

/** Fastify's `clientErrorHandler`: what arrived is no HTTP request, so the reply is written by hand and the connection ends. */
export function rejectMalformedHttp(this: unknown, error: MalformedHttp, socket: Socket): void {
  if (error.code !== 'ECONNRESET') {
    rejectOnSocket(this, socket, error, pathIn(error.rawPacket));
  }
}

/** Answers `CONNECT`, which asks for a tunnel. */
export function rejectTunnel(fastify: object, socket: Socket): void {
  // The server has let go of the socket, and of its errors.
  socket.on('error', () => undefined);
  rejectOnSocket(fastify, socket, Object.assign(new Error('no tunnels'), { code: 'CONNECT' }), '');
}

/** Ends a request whose body does not come to an end. */
export function rejectSlowBody(fastify: object, request: FastifyRequest): void {
  const error = Object.assign(new Error('the body took too long'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
  rejectOnSocket(fastify, request.raw.socket, error, pathOf(request));
}

function rejectOnSocket(fastify: unknown, socket: Socket, error: MalformedHttp, path: string): void {
  if (socket.destroyed) {
    return;
  }
  if (socket.writable) {
    const filter = typeof fastify === 'object' && fastify !== null ? filters.get(fastify) : undefined;
    socket.write(rawReply(refusalOf(error.code), filter, path));
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
    case 'CONNECT':
      return {
        status: '405 Method Not Allowed',
        title: 'The method is not allowed',
        detail: 'This server is no proxy.',
      };
    case 'HPE_HEADER_OVERFLOW':
      return {
        status: '431 Request Header Fields Too Large',
        title: 'The headers are too large',
        detail: 'Send fewer or shorter headers.',
      };
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
    case 'HPE_INVALID_CONTENT_LENGTH':
    case 'HPE_INVALID_TRANSFER_ENCODING':
      return {
        status: '400 Bad Request',
        detail:
          'The length of the body is not clear; send one Content-Length header, or Transfer-Encoding: chunked without one.',
      };
    default:
      return { status: '400 Bad Request', detail: 'This is not a well-formed HTTP request.' };
  }
}

/** The path of the request whose head these bytes begin with; empty where that cannot be told. */
function pathIn(bytes: unknown): string {
  const head = bytes instanceof Uint8Array ? Buffer.from(bytes.subarray(0, 8192)).toString('latin1') : '';
  const [, path] = /^[A-Z]+ (\/[^\s?#]*)\S* HTTP\/1\.[01]\r?\n/.exec(head) ?? [];
  return path ?? '';
}

function rawReply({ status, title, detail }: SocketRefusal, filter: ErrorFilter | undefined, path: string): string {
  const requestId = randomUUID();
  const failure = toFailure(new DomainError('invalid-request', detail));
  const presented = filter?.present(
    { ...failure, status: Number(status.slice(0, 3)), title: title ?? failure.title },
    { path, route: path, requestId },
  );
  const body = JSON.stringify(presented?.body ?? { detail });
  const headers = [
    `HTTP/1.1 ${status}`,
    `content-type: ${presented?.contentType ?? 'application/json; charset=utf-8'}`,
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    ...Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}`),
    'connection: close',
  ];
  return `${headers.join('\r\n')}\r\n\r\n${body}`;
}
