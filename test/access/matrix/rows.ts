import type { Reply } from '../../support/server.js';
import { type Ids } from './objects.js';
import type { Kind, Right } from './rights.js';

/**
 * How to ask for each route of the inventory, and what answers. A route without a row here fails the matrix.
 *
 * - `door`: the column of DOORS that the actor needs to come in; `open` lets everybody in.
 * - `about`: the kind of object its ids name, and the right it takes.
 * - `ok`: the status of an allowed request.
 * - `hidden`: the status where the object is not there for the actor: 404, but 400 where a body names it, 200 where a list comes out
 *   empty, and 409 where a worker holds no lease.
 */
export interface Row {
  door: 'open' | 'self' | 'read' | 'work' | 'administer' | 'worker' | 'operate' | 'upload';
  ok: number;
  about?: { kind: Kind; right: Right };
  hidden?: number;
  /** Names team red beside its object: who may not see that team gets 404 where they would be allowed. */
  namesTeam?: boolean;
  /** An allowed request changes or ends the object, so that each gets one of its own. */
  spends?: boolean;
  /** Takes a person out of a team: they are put back in before each request. */
  parts?: boolean;
  /** The run of the object waits for that. */
  waits?: 'question' | 'approval';
  /** The object comes without a schedule. */
  unscheduled?: boolean;
  ask: (ids: Ids, unique: string) => { path: string; body?: unknown };
  /** A list: the ids in it. Each object the actor may read is among them, and none that they may not. */
  lists?: { kind: Kind; id: string; ids: (reply: Reply) => string[]; createdOnly?: boolean };
  /** What else must be true of an allowed reply; a sentence where it is not. */
  check?: (reply: Reply, right: Right) => string | null;
}

export const V1 = '/api/v1';
export const data = (reply: Reply): string[] => reply.body.data.map(({ id }: { id: string }) => id);
export const get =
  (path: (ids: Ids) => string): Row['ask'] =>
  (ids) => ({ path: path(ids) });
export const send =
  (path: (ids: Ids) => string, body: object): Row['ask'] =>
  (ids) => ({ path: path(ids), body });

export const reads = (kind: Kind, path: (ids: Ids) => string): Row => ({
  door: 'read',
  ok: 200,
  about: { kind, right: 'r' },
  ask: get(path),
});
export const list = (kind: Kind, path: string, door: Row['door'] = 'read'): Row => ({
  door,
  ok: 200,
  ask: get(() => `${path}?limit=100`),
  lists: { kind, id: kind, ids: data },
});
export const removes = (
  kind: Kind,
  path: (ids: Ids) => string,
  door: Row['door'] = 'work',
  right: Right = 'm',
): Row => ({
  door,
  ok: 204,
  about: { kind, right },
  spends: true,
  ask: get(path),
});
export const changes = (
  kind: Kind,
  right: Right,
  path: (ids: Ids) => string,
  body: object,
  door: Row['door'] = 'work',
): Row => ({
  door,
  ok: 200,
  about: { kind, right },
  spends: true,
  ask: send(path, body),
});
export const creates = (
  path: string,
  body: (unique: string, ids: Ids) => object,
  door: Row['door'] = 'work',
  ok = 201,
): Row => ({
  door,
  ok,
  ask: (ids, unique) => ({ path, body: body(unique, ids) }),
});
export const leased = (action: string, body: object): Row => ({
  door: 'worker',
  ok: 200,
  about: { kind: 'lease', right: 'm' },
  hidden: 409,
  ask: ({ run, fence }) => ({ path: `${V1}/worker/runs/${run}/${action}`, body: { fence, ...body } }),
});

export const PASSWORD = 'correct horse battery staple';

export const readOnlyIs = (reply: Reply, right: Right): string | null =>
  reply.body.read_only === (right === 'r') ? null : `read_only is ${reply.body.read_only}`;
