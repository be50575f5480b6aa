import type { FastifyInstance } from 'fastify';
import { invalid } from '../../kernel/errors.js';

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

/** Answers 400 to a request that has one of these headers twice, also with the same value. To be called once, before routes. */
export function rejectRepeatedHeaders(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', ({ raw }, _reply, done) => {
    const repeated = repeatedHeader(raw.rawHeaders);
    done(repeated === null ? undefined : invalid(repeated, `The request has several ${repeated} headers; send one.`));
  });
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
