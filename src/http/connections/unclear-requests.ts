import type { FastifyInstance } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type DomainError, invalid } from '../../kernel/errors.js';
import { rejectTunnel } from '../filters/pre-routing-errors.js';

/**
 * Headers that have one value, so that a request with two is read in two ways: Node keeps the first `Host`, `Authorization` or `Content-Type` and
 * drops the others without a word, and joins other headers to a text that neither sender nor proxy meant, while a proxy in front may have looked
 * at the last. (`Content-Length` and `Transfer-Encoding` are refused by Node's parser; see pre-routing-errors.ts.)
 */
const SINGLE = new Map(
  [
    'Host',
    'Authorization',
    'api-key',
    'apikey',
    'x-api-key',
    'Content-Type',
    'Content-Length',
    'Idempotency-Key',
    'Last-Event-ID',
  ].map((name) => [name.toLowerCase(), name]),
);

/**
 * Answers 400 to a request that a proxy in front may have read in another way than this server does: one with one of these headers twice, also
 * with the same value, without `Host`, or in a transfer coding that is not decoded here. Node would answer some of these by itself, without a
 * problem document (`requireHostHeader` is off for that). To be called once, before routes.
 */
export function rejectUnclearRequests(fastify: FastifyInstance): void {
  fastify.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    fastify.server.emit('request', request, response);
  });
  fastify.server.on('connect', (_request: IncomingMessage, socket: Socket) => rejectTunnel(fastify, socket));
  fastify.addHook('onRequest', ({ raw }, reply, done) => {
    const refusal = refusalOf(raw);
    if (refusal !== undefined) {
      // Where its end is may be unclear too, so nothing after it is read.
      void reply.header('connection', 'close');
    }
    done(refusal);
  });
}

function refusalOf({ headers, httpVersion, rawHeaders }: IncomingMessage): DomainError | undefined {
  const repeated = repeatedHeader(rawHeaders);
  if (repeated !== null) {
    return invalid(repeated, `The request has several ${repeated} headers; send one.`);
  }
  if (headers.host === undefined && httpVersion === '1.1') {
    return invalid('Host', 'The request has no Host header; send one.');
  }
  // https://www.rfc-editor.org/rfc/rfc9112#section-6.1
  if ((headers['transfer-encoding'] ?? 'chunked').toLowerCase() !== 'chunked') {
    return invalid('Transfer-Encoding', 'The only Transfer-Encoding that is decoded is chunked.');
  }
  if ((headers.expect ?? '100-continue').toLowerCase() !== '100-continue') {
    return invalid('Expect', 'The only Expect that is met is 100-continue.');
  }
  return undefined;
}

/** The first of those headers that stands in the list of names and values twice, or null. */
function repeatedHeader(rawHeaders: readonly string[]): string | null {
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = SINGLE.get(rawHeaders[index]?.toLowerCase() ?? '');
    if (name !== undefined && seen.has(name)) {
      return name;
    }
    if (name !== undefined) {
      seen.add(name);
    }
  }
  return null;
}
