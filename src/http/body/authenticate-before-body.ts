import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AccessDeclaration } from '../../access/index.js';
import type { AccessGuard } from '../guards/access.guard.js';
import type { ParsingBudget } from './json/parsing-budget.js';
import type { RouteEntry } from '../openapi/route-inventory.js';
import type { UnsentReplies } from '../connections/unsent-replies.js';

/**
 * Reads no body of a stranger, nor of one whose role does not allow the request: on every route that is not public, both are found out
 * before the body is parsed. Nest's guards run only after that. They ask again for what they find missing, so that a route this does not know is no less closed.
 *
 * To be called once, before routes. It waits for `preParsing`, since the headers that let pages of other origins read a refusal are set in `onRequest`.
 */
export function authenticateBeforeBody(
  fastify: FastifyInstance,
  {
    guard,
    routes,
    budget,
    unsent,
  }: { guard: AccessGuard; routes: readonly RouteEntry[]; budget: ParsingBudget; unsent: UnsentReplies },
): void {
  const declarations = new Map<string, AccessDeclaration>(
    routes.map(({ method, path, declaration }) => [`${method} ${path}`, declaration]),
  );
  fastify.addHook<{ Params: Record<string, string> }>('preParsing', async (request, reply) => {
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const declaration = declarations.get(`${method} ${request.routeOptions.url ?? ''}`);
    // Of a path with an empty parameter (`/tasks/`) the adapter says later that it is no route's, to anybody.
    if (declaration?.kind !== 'requires' || Object.values(request.params).includes('')) {
      return;
    }
    try {
      await guard.admit(request, declaration);
      if (request.actor !== undefined) {
        unsent.assertRoom(request.actor.principalId);
        if (hasBody(request) && request.routeOptions.config.rawBody !== true) {
          budget.assertLeft(request.actor.principalId);
        }
      }
    } catch (error) {
      if (!isShort(request)) {
        void reply.header('connection', 'close');
      }
      throw error;
    }
  });
}

/** A body that the route might have read is passed over, so that its sender gets the reply and may go on; no other is waited for. */
function isShort({ headers, routeOptions }: Pick<FastifyRequest, 'headers' | 'routeOptions'>): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) <= routeOptions.bodyLimit;
}

function hasBody({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}
