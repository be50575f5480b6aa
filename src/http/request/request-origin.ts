import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../access/index.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MAX_CHARACTERS = 100;
const MAX_FIELDS = 40;

/** The actor in this request: what it does is told with where it came from. */
export function withOrigin(actor: Actor, request: FastifyRequest): Actor {
  const { id, ip, method, routeOptions, params, query, body } = request;
  const parameters = Object.fromEntries(
    membersOf(params).flatMap(([name, value]) =>
      typeof value === 'string' ? [[name, value.slice(0, MAX_CHARACTERS)]] : [],
    ),
  );
  const named = idOf(query) ?? idOf(body);
  return {
    ...actor,
    origin: {
      requestId: id,
      address: ip,
      method,
      route: routeOptions.url ?? '',
      parameters,
      named,
      fields: firstNames(body),
    },
  };
}

function idOf(value: unknown): string | null {
  const id: unknown = isObject(value) ? value['id'] : null;
  return typeof id === 'string' && UUID.test(id) ? id : null;
}

/** The names of the first members; an object may have thousands. */
function firstNames(value: unknown): string[] {
  const names: string[] = [];
  if (isObject(value)) {
    for (const name in value) {
      if (names.length === MAX_FIELDS) break;
      names.push(name.slice(0, MAX_CHARACTERS));
    }
  }
  return names;
}

function membersOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
