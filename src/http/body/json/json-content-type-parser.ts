import type { FastifyInstance, FastifyRequest } from 'fastify';
import { DomainError } from '../../../kernel/errors.js';
import { parseJsonItems } from './json-items.js';
import { type JsonReading, parseJsonBody } from './parse-json-body.js';
import type { ParsingBudget } from './parsing-budget.js';

/**
 * The whole of a Content-Type that we take, so that nothing after, before or between is skipped: parsers that read a header
 * leniently and validate by it strictly have been talked past with a tab or a trailing word. RFC 9110 allows tabs around the
 * semicolon and any parameter; nobody sends them in good faith, so they are refused.
 */
const JSON_MEDIA_TYPE = /^application\/(json|merge-patch\+json)(?: *; *charset=(?:utf-8|"utf-8"))?$/i;

/**
 * Makes `application/json` (and `application/merge-patch+json` on PATCH, RFC 7396) the only bodies that Fastify reads, through
 * `parseJsonBody`. Any other type, and a body without a type, is `unsupported-media-type`, whatever the bytes are. A request with a JSON type and
 * no bytes has no body (`undefined`), so that DELETE and bare POST work with clients that always name a type.
 *
 * Errors go to Fastify's error handler, and the connection is closed after the reply, since the rest of the body may still be on
 * its way. Two refusals are Fastify's own, by `statusCode`: 413 past the route's `bodyLimit`, 415 for a Content-Type that is no
 * media type at all. An unknown route answers as such whatever its body is.
 *
 * To be called before the instance is ready, once. Nest's own parsers must be off (`bodyParser: false`); a route that takes
 * another kind of body registers its parser for exactly that type in a scope of its own.
 */
export function registerJsonBody(fastify: FastifyInstance, budget: ParsingBudget): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    (request, bytes, done) => {
      try {
        const read = (): unknown => (request.is404 ? undefined : readBody(request, bytes));
        done(null, budget.charge(request.actor?.principalId ?? null, read));
      } catch (error) {
        done(asError(error), undefined);
      }
    },
  );
  fastify.addContentTypeParser('*', (request, _payload, done) => {
    if (request.is404) done(null, undefined);
    else done(unsupported('Send the body as application/json.'), undefined);
  });
}

function readBody(request: FastifyRequest, bytes: Buffer): unknown {
  const [, kind] = JSON_MEDIA_TYPE.exec(request.headers['content-type'] ?? '') ?? [];
  if (kind === undefined) throw unsupported('Send the body as application/json, in UTF-8, with no other parameter.');
  if (kind.toLowerCase() !== 'json' && request.method !== 'PATCH') {
    throw unsupported('A merge patch is for PATCH; send the body as application/json.');
  }
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw unsupported('Send the body without a content encoding.');
  }
  if (bytes.length === 0) return undefined;
  const { itemsMember = null } = request.routeOptions.config;
  const reading = bodyReading(request);
  return itemsMember === null ? parseJsonBody(bytes, reading) : parseJsonItems(bytes, itemsMember, reading);
}

function bodyReading({ routeOptions: { config } }: FastifyRequest): JsonReading {
  const isReport = config.isReport === true;
  return {
    isReport,
    repairsText: isReport || config.repairsText === true,
    keepsHalves: config.keepsHalves === true,
  };
}

function unsupported(message: string): DomainError {
  return new DomainError('unsupported-media-type', message);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the body parser failed', { cause: error });
}
