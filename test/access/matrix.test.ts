/**
 * Every route × every actor × every object, as a running server answers it over HTTP.
 *
 * What is expected comes from the tables in `matrix/rights.ts` alone. An object that is not there for an actor must answer byte for
 * byte as one that was never made: same status, same headers, same body. A refused request changes nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { WRITE_ACTIONS, isAudited } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { routeInventory } from '../../src/http/openapi/route-inventory.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';
import { OWNER } from './matrix/cast.js';
import type { Ids } from './matrix/objects.js';
import { ROWS, type Row } from './matrix/requests.js';
import {
  ACTORS,
  type ActorName,
  DOORS,
  NOBODIES,
  objectsOf,
  OURS,
  type Right,
  rightOf,
  suffices,
} from './matrix/rights.js';
import { Stage } from './matrix/stage.js';

const AT_ONCE = 8;

/** Routes that no actor of the matrix uses to the end; their own tests look for the row. */
const NEVER_DONE_HERE: readonly string[] = [
  'DELETE /api/v1/secrets/:name',
  'POST /api/v1/me/password',
  'POST /api/v1/assets/upload',
  'POST /api/v1/assets/:id/complete',
  'PUT /api/v1/assets/:id/content',
];

/** Routes that leave no row, and why. The list may only shrink. */
const NEVER_TOLD: Readonly<Record<string, string>> = {
  'PUT /api/v1/assets/:id/parts/:number': 'a part is nothing until all are put together, which is told',
};

let server: TestServer;
let stage: Stage;
let untouched: string;
let cells = 0;
let unique = 0;

beforeAll(async () => {
  // One connection: a request that holds it and waits for a second one would wait in vain, and show as 503.
  server = await startServer({ ROLE: 'api', DATABASE_POOL_SIZE: '1', ...OWNER });
  stage = await Stage.make(server);
  untouched = await stage.digest();
});

afterAll(() => server.stop());

/** `none` is where a route is about nothing. */
const NONE = 'none';

interface Cell {
  actor: ActorName;
  object: string;
  status: number;
  /** Whether the object is there for the actor at all; what is not must be told from nothing. */
  isThere: boolean;
  right: Right;
}

describe('the matrix', () => {
  test('has a row for every route of the running server, and none for others', () => {
    const routes = routeInventory(server.app.get(DiscoveryService), server.app.get(MetadataScanner));
    expect(Object.keys(ROWS).toSorted()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).toSorted());
  });

  const variants = Object.entries(ROWS).flatMap(([route, rows]) =>
    [rows].flat().map((row, index) => ({ name: index === 0 ? route : `${route} (${index + 1})`, route, row })),
  );

  test.each(variants)('holds for $name', async ({ route, row }) => {
    const all = cellsOf(row);
    const refused = all.filter(({ status }) => status !== row.ok || row.spends !== true);
    const allowed = all.filter((cell) => !refused.includes(cell)).filter(({ object }) => object !== 'bootstrap');
    const wrong = [...(await runRefused(route, row, refused)), ...(await runAllowed(route, row, allowed))];
    cells += refused.length + allowed.length;
    expect(wrong).toEqual([]);
  });

  test('left a row in the audit trail for every route that changes anything, naming what it changed', async () => {
    const changing = routeInventory(server.app.get(DiscoveryService), server.app.get(MetadataScanner)).filter(
      ({ method, declaration }) =>
        method !== 'GET' &&
        declaration.kind === 'requires' &&
        WRITE_ACTIONS.some((action) => action === declaration.action && isAudited(action)),
    );
    const rows = await server.database.rows<{ route: string; outcome: string }>(
      sql`select distinct route, outcome from audit_events where route is not null and object_id is not null`,
    );
    const told = (outcome: string): Set<string> =>
      new Set(rows.filter((row) => row.outcome === outcome).map(({ route }) => route));
    const routes = changing.map(({ method, path }) => `${method} ${path}`);
    expect(routes.length).toBeGreaterThan(50);
    expect(routes.filter((route) => !told('done').has(route)).toSorted()).toEqual(
      [...NEVER_DONE_HERE, ...Object.keys(NEVER_TOLD)].toSorted(),
    );
    expect(told('refused').size).toBeGreaterThan(20);
  });

  test('left what it refused to change as it was', async () => {
    expect(cells).toBeGreaterThan(24_000);
    expect(await stage.digest()).toBe(untouched);
  });
});

/** What the tables expect of every actor and object. */
function cellsOf(row: Row): Cell[] {
  return ACTORS.flatMap((actor) => {
    const objects = row.about === undefined ? [NONE] : objectsOf(row.about.kind);
    return objects.map((object) => ({ actor, object, ...expected(row, actor, object) }));
  });
}

function expected(row: Row, actor: ActorName, object: string): Omit<Cell, 'actor' | 'object'> {
  if (row.door === 'open') {
    return { status: row.ok, isThere: true, right: 'r' };
  }
  if (NOBODIES.some((nobody) => nobody === actor)) {
    return { status: 401, isThere: false, right: '-' };
  }
  if (DOORS[actor]?.[row.door] !== 'y') {
    return { status: 403, isThere: false, right: '-' };
  }
  if (row.about === undefined) {
    return { status: row.ok, isThere: true, right: 'r' };
  }
  const right = rightOf(actor, row.about.kind, object);
  if (right === '-') {
    return { status: row.hidden ?? 404, isThere: false, right };
  }
  if (!suffices(right, row.about.right)) {
    return { status: 403, isThere: true, right };
  }
  const seesTeam = !OURS.some((one) => one === actor) || suffices(rightOf(actor, 'team', 'red'), 'r');
  return { status: row.namesTeam === true && !seesTeam ? 404 : row.ok, isThere: true, right };
}

/** Cells that change nothing, on the objects that all share; what is wrong with them. */
async function runRefused(route: string, row: Row, list: readonly Cell[]): Promise<string[]> {
  const replies = await inParallel(
    list,
    async (cell) => {
      const ids =
        row.about === undefined ? stage.around(cell.actor) : stage.shared(row.about.kind, cell.actor, cell.object);
      if (row.parts === true && cell.status === row.ok) {
        await stage.rejoin(ids);
      }
      return { cell, ids, reply: await ask(route, row, cell.actor, ids) };
    },
    row.parts === true ? 1 : AT_ONCE,
  );
  const absent = new Map(
    replies.filter(({ cell }) => cell.object === 'absent').map((visit) => [visit.cell.actor, visit]),
  );
  return replies.flatMap(({ cell, ids, reply }) => {
    const nothing = absent.get(cell.actor);
    const tells =
      cell.isThere || nothing === undefined || canonical(reply, ids) === canonical(nothing.reply, nothing.ids)
        ? []
        : [`${nameOf(cell)}: ${canonical(reply, ids)}, yet when absent ${canonical(nothing.reply, nothing.ids)}`];
    return [...mistakes(row, cell, reply), ...tells];
  });
}

/** Cells that change their object, each with one of its own. */
async function runAllowed(route: string, row: Row, list: readonly Cell[]): Promise<string[]> {
  const run = async (cell: Cell): Promise<string[]> => {
    const state = { ended: false, withSchedule: row.unscheduled !== true, waits: row.waits };
    const ids =
      row.about === undefined
        ? stage.around(cell.actor)
        : await stage.fresh(row.about.kind, cell.actor, cell.object, state);
    return mistakes(row, cell, await ask(route, row, cell.actor, ids));
  };
  // A person has one account: those of persons are made one after the other.
  return (await inParallel(list, run, row.about?.kind === 'account' ? 1 : AT_ONCE)).flat();
}

function mistakes(row: Row, cell: Cell, reply: Reply): string[] {
  if (reply.status !== cell.status) {
    return [`${nameOf(cell)}: ${reply.status} instead of ${cell.status}: ${reply.text.slice(0, 300)}`];
  }
  if (reply.status >= 400 || !cell.isThere) {
    return [];
  }
  const said = row.check?.(reply, cell.right) ?? null;
  return [...(said === null ? [] : [`${nameOf(cell)}: ${said}`]), ...wronglyListed(row, cell.actor, reply)];
}

/** The objects that a list shows and should not, or should and does not. */
function wronglyListed(row: Row, actor: ActorName, reply: Reply): string[] {
  const { lists } = row;
  if (lists === undefined) {
    return [];
  }
  const shown = new Set(lists.ids(reply));
  return objectsOf(lists.kind).flatMap((object) => {
    const isShown = shown.has(stage.shared(lists.kind, actor, object)[lists.id] ?? '');
    const readable = suffices(rightOf(actor, lists.kind, object), 'r');
    const should =
      readable && (lists.createdOnly !== true || !stage.cast.actors[actor].isPerson || isMine(actor, object));
    return isShown === should ? [] : [`${actor}: ${object} is ${isShown ? '' : 'not '}in the list`];
  });
}

/** What is not `own` was made by the creator, and abroad by the stranger. */
function isMine(actor: ActorName, object: string): boolean {
  return object === 'own' || actor === (object === 'foreign' ? 'strangerOwner' : 'creator');
}

async function ask(route: string, row: Row, actor: ActorName, ids: Ids): Promise<Reply> {
  unique += 1;
  const { path, body } = row.ask(ids, `unique-${unique}`);
  const [method = ''] = route.split(' ');
  const request = { as: stage.cast.actors[actor].credential, ...(body === undefined ? {} : { body }) };
  let reply = await server.call(method, path, request);
  // On a busy machine the one connection may be waited for too long. Who needs a second one never gets it, however often it asks.
  for (let again = 0; again < 3 && reply.status === 503; again += 1) {
    reply = await server.call(method, path, request);
  }
  return reply;
}

/** A reply with what must differ between two requests taken out: the ids asked for, the time, the request's own id. */
function canonical(reply: Reply, ids: Ids): string {
  const headers = [...reply.headers].filter(([name]) => name !== 'date' && name !== 'x-request-id');
  let text = `${reply.status} ${JSON.stringify(headers)} ${reply.text}`.replaceAll(
    reply.headers.get('x-request-id') ?? '-',
    '<request>',
  );
  for (const [name, id] of Object.entries(ids)) {
    text = text.replaceAll(id, `<${name}>`);
  }
  return text;
}

function nameOf({ actor, object }: Cell): string {
  return object === NONE ? actor : `${actor} × ${object}`;
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  atOnce = AT_ONCE,
): Promise<Result[]> {
  const results: Result[] = [];
  const rest = [...items.entries()];
  const lane = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
      results[next[0]] = await work(next[1]);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}
