/** A request's route, as what it does to what. Pure. */
import type { RequestOrigin } from '../../access/index.js';

export interface AuditAction {
  action: string;
  objectKind: string;
  /** Null where the path names nothing: a thing that is made, or the one there is. */
  objectId: string | null;
  /** The other ids of the path, by name: the member of a team, the team of a share. */
  others: Readonly<Record<string, string>>;
}

const VERBS: Readonly<Record<string, string>> = {
  GET: 'read',
  POST: 'create',
  PUT: 'put',
  PATCH: 'update',
  DELETE: 'delete',
};

/**
 * `PATCH /api/v1/teams/:id` is `team.update`, `PUT /api/v1/teams/:id/members/:user_id` is `team.members.put`,
 * `POST /api/v1/agents/:id/pause` is `agent.pause`. The published shapes of other systems say the same as ours.
 */
export function auditActionFromRoute({ method, route, parameters, named }: RequestOrigin): AuditAction {
  const [first = 'request', ...rest] = route.replace(/^\/(api\/)?(v1\/)?/, '').split('/');
  const objectKind = singular(first);
  const words = rest.filter((part) => part !== '' && !part.startsWith(':')).map((part) => part.replaceAll('-', '_'));
  const endsInWord = rest.length > 0 && !(rest.at(-1) ?? '').startsWith(':');
  const verb = VERBS[method] ?? method.toLowerCase();
  const action = [objectKind, ...words, ...(method === 'POST' && endsInWord ? [] : [verb])].join('.');
  const [own, ...others] = Object.entries(parameters);
  return { action, objectKind, objectId: own?.[1] ?? named, others: Object.fromEntries(others) };
}

/** `api-keys` → `api_key`, `me` → `user`. */
function singular(segment: string): string {
  if (segment === 'me') {
    return 'user';
  }
  return segment
    .replaceAll('-', '_')
    .replace(/ies$/, 'y')
    .replace(/(?<!s)s$/, '');
}
