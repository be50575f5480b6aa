import type { FastifyRequest } from 'fastify';
import type { Actor } from '../access/index.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MOST_CHARACTERS = 100;
const MOST_FIELDS = 40;

/** The actor in this request: what it does is told with where it came from. */
export function withOrigin(actor: Actor, request: FastifyRequest): Actor {
  const { id, ip, method, routeOptions, params, query, body } = request;
  const parameters = Object.fromEntries(
    membersOf(params).flatMap(([name, value]) =>
      typeof value === 'string' ? [[name, value.slice(0, MOST_CHARACTERS)]] : [],
    ),
  );
  const named = [...membersOf(query), ...membersOf(body)].find(
    ([name, value]) => name === 'id' && typeof value === 'string' && UUID.test(value),
  );
  return {
    ...actor,
    origin: {
      requestId: id,
      address: ip,
      method,
      route: routeOptions.url ?? '',
      parameters,
      named: named === undefined ? null : String(named[1]),
      fields: membersOf(body)
        .slice(0, MOST_FIELDS)
        .map(([name]) => name.slice(0, MOST_CHARACTERS)),
    },
  };
}

function membersOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
}
