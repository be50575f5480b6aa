import { sql } from '../../../src/database/sql.js';
import { newId } from '../../../src/kernel/ids.js';
import { key } from '../../support/actors.js';
import type { TestServer } from '../../support/server.js';
import { type Cast, makeCast } from './cast.js';
import {
  type Ground,
  type Ids,
  type TaskShape,
  type TaskState,
  insertAccount,
  insertAgent,
  insertKey,
  insertOperation,
  insertProject,
  insertTask,
  insertTeam,
  insertUser,
  insertWebhook,
  joinTeam,
  keepBytes,
} from './objects.js';
import { type ActorName, type Kind, objectsOf, OURS, STRANGERS } from './rights.js';

/** Slugs of agents that both organisations have: one that tasks are for, one without any. */
export const AGENT_SLUG = 'matrix';
export const IDLE_AGENT_SLUG = 'matrix-idle';

interface Country extends Ground {
  /** A person in every team of their organisation. */
  dummyId: string;
  artistAccountId: string;
}

/** The actors and everything the matrix is about. */
export class Stage {
  readonly #shared = new Map<string, Ids>();
  readonly #countries: Record<'first' | 'second', Country>;
  /** Red is the yard's; in violet is nobody but the dummy. */
  readonly #teams: { red: string; violet: string };
  readonly #projects: { read: string; write: string };

  private constructor(
    readonly server: TestServer,
    readonly cast: Cast,
    countries: Record<'first' | 'second', Country>,
    teams: { red: string; violet: string },
    projects: { read: string; write: string },
  ) {
    this.#countries = countries;
    this.#teams = teams;
    this.#projects = projects;
  }

  static async make(server: TestServer): Promise<Stage> {
    const cast = await makeCast(server);
    const [first, second] = await organizations(server);
    const teams = { red: cast.yard.teams.red, violet: await insertTeam(server, first) };
    const { red, violet } = teams;
    const creatorId = cast.actors.creator.creatorId ?? '';
    const strangerId = cast.actors.strangerOwner.creatorId ?? '';
    const countries = {
      first: await country(server, first, creatorId, red),
      second: await country(server, second, strangerId, await insertTeam(server, second)),
    };
    await joinTeam(server, first, red, countries.first.dummyId);
    await joinTeam(server, first, violet, countries.first.dummyId);
    const shares = (access: 'read' | 'write') => ({ teamId: violet, shares: [{ teamId: red, access }] });
    const projects = {
      read: await insertProject(server, first, creatorId, shares('read')),
      write: await insertProject(server, first, creatorId, shares('write')),
    };
    const stage = new Stage(server, cast, countries, teams, projects);
    await stage.#fill();
    return stage;
  }

  /** The ids of an object as every request sees it that does not change it. */
  shared(kind: Kind, actor: ActorName, object: string): Ids {
    // A question is on a task like any other.
    const stored = kind === 'question' ? 'task' : kind;
    const ids = this.#shared.get(`${stored} ${object} ${this.#ownerOf(object, actor)}`);
    if (ids === undefined) {
      throw new Error(`no ${kind} called ${object} for ${actor}`);
    }
    return { ...ids, ...this.around(actor) };
  }

  /** The ids of an object like it that nobody has touched. */
  async fresh(kind: Kind, actor: ActorName, object: string, state: TaskState): Promise<Ids> {
    const ids = await this.#make(kind, object, actor, state);
    if (kind === 'account' && (object === 'members' || object === 'outsiders')) {
      // A person has one account, so the new one took the place of the shared one.
      this.#shared.set(`account ${object} anybody`, ids);
    }
    return { ...ids, ...this.around(actor) };
  }

  /** Puts the person beside the object back into the team. */
  async rejoin({ team = '', dummy = '' }: Ids): Promise<void> {
    const country = Object.values(this.#countries).find(({ dummyId }) => dummyId === dummy);
    await joinTeam(this.server, country?.organizationId ?? '', team, dummy);
  }

  /** What is beside the object in a request, always of the actor's own organisation. */
  around(actor: ActorName): Ids {
    const { shareTeamId, sharedTeamId, dummyId, artistAccountId } = this.#countryOf(actor);
    return { share_team: shareTeamId, shared_team: sharedTeamId, dummy: dummyId, artist_account: artistAccountId };
  }

  /** One value for all rows of the shared tasks and what hangs on them: the same as long as nobody changed any. */
  async digest(): Promise<string> {
    const ids = [...this.#shared].flatMap(([name, { task }]) =>
      task === undefined || name.includes(' absent ') ? [] : [task],
    );
    const row = await this.server.database.row<{ digest: string }>(sql`
      select md5(string_agg(line, ',' order by line)) as digest from (
        select t::text as line from tasks t where t.id = any(${ids}::uuid[])
        union all select r::text from runs r where r.task_id = any(${ids}::uuid[])
        union all select a::text from assets a where a.task_id = any(${ids}::uuid[])
        union all select m::text from messages m where m.task_id = any(${ids}::uuid[])
        union all select s::text from schedules s where s.task_id = any(${ids}::uuid[])
        union all select s::text from task_shares s where s.task_id = any(${ids}::uuid[])
        union all select e::text from run_events e where e.run_id in (select id from runs where task_id = any(${ids}::uuid[]))
      ) lines`);
    return row?.digest ?? '';
  }

  async #fill(): Promise<void> {
    const state = { ended: true, withSchedule: true };
    for (const kind of [
      'task',
      'team',
      'project',
      'account',
      'user',
      'agent',
      'key',
      'budget',
      'webhook',
      'operation',
      'organization',
    ] as const) {
      for (const object of objectsOf(kind)) {
        for (const actor of object === 'own' ? [...OURS, ...STRANGERS] : (['creator'] as const)) {
          const ids = await this.#make(kind, object, actor, state);
          this.#shared.set(`${kind} ${object} ${this.#ownerOf(object, actor)}`, ids);
          if (kind === 'task' && object !== 'absent') {
            await keepBytes(this.server, ids);
          }
        }
      }
    }
    await this.#lease();
  }

  /** Runs of the worker's routes: one on lease to another worker, whose fence every request shows. */
  async #lease(): Promise<void> {
    const { server } = this;
    const slug = 'matrix-leased';
    await server.call('POST', '/api/v1/agents', { body: { slug, kind: 'worker', lease_seconds: 3600 } });
    const made = await server.call('POST', '/api/v1/tasks', { body: { agent: slug, prompt: 'Lease me' } });
    const worker = await key(server, { name: 'another worker', role: 'worker' });
    const claim = await server.call('POST', '/api/v1/worker/claim', { as: worker, body: { agents: [slug] } });
    const fence: string = claim.body.runs[0].lease.fence;
    const state = { ended: false, withSchedule: false };
    const ids: Record<string, Ids> = {
      leased: { task: made.body.task.id, run: claim.body.runs[0].run.id },
      queued: await this.#make('task', 'open', 'creator', state),
      foreign: await this.#make('task', 'foreign', 'creator', state),
      absent: await this.#make('task', 'absent', 'creator', state),
    };
    for (const [object, found] of Object.entries(ids)) {
      this.#shared.set(`lease ${object} anybody`, { ...found, fence });
    }
  }

  async #make(kind: Kind, object: string, actor: ActorName, state: TaskState): Promise<Ids> {
    if (object === 'absent') {
      const names = [
        'task',
        'run',
        'asset',
        'schedule',
        'team',
        'project',
        'account',
        'user',
        'agent',
        'key',
        'budget',
        'webhook',
        'delivery',
        'operation',
        'organization',
      ];
      return Object.fromEntries(names.map((name) => [name, newId()]));
    }
    const { server } = this;
    const isForeign = object === 'foreign' || (object === 'own' && this.cast.actors[actor].organization === 'second');
    const ground = isForeign ? this.#countries.second : this.#countries.first;
    const { organizationId: organization, creatorId } = ground;
    const by = object === 'own' ? (this.cast.actors[actor].creatorId ?? creatorId) : creatorId;
    const { red, violet } = this.#teams;
    switch (kind) {
      case 'task':
      case 'question':
        return insertTask(server, ground, this.#taskShape(object, by), state);
      case 'team':
        // A fresh one is only ever made to be deleted.
        return { team: await this.#team(object, organization) };
      case 'project': {
        const teamId = object === 'red' ? red : object === 'violet' || object === 'shared' ? violet : null;
        const shares = [{ teamId: ground.sharedTeamId, access: 'read' as const }];
        const withRed = object === 'shared' ? [...shares, { teamId: red, access: 'read' as const }] : shares;
        return { project: await insertProject(server, organization, by, { teamId, shares: withRed }) };
      }
      case 'account': {
        const { member, outsider } = this.cast.yard;
        const person = object === 'members' ? member.id : object === 'outsiders' ? outsider.id : null;
        return { account: await insertAccount(server, organization, person === null ? by : null, person) };
      }
      case 'user': {
        const user = await insertUser(server, organization, object === 'chief' ? 'owner' : 'member');
        if (object === 'colleague') {
          await joinTeam(server, organization, red, user);
        }
        return { user };
      }
      case 'agent':
        return { agent: await insertAgent(server, organization) };
      case 'key':
        return {
          key:
            object === 'bootstrap'
              ? (this.cast.actors.operatorKey.creatorId ?? '')
              : await insertKey(server, organization, object === 'owners' ? 'owner' : 'member'),
        };
      case 'operation':
        return { operation: await insertOperation(server, organization, by) };
      case 'budget': {
        const body = { name: 'Matrix', scope: { kind: 'run' }, limit_cents: 1_000_000, enabled: false };
        const { credential: as } = this.cast.actors[isForeign ? 'strangerKey' : 'operatorKey'];
        return { budget: (await server.call('POST', '/api/v1/budgets', { as, body })).body.id };
      }
      case 'webhook':
        return insertWebhook(server, organization, creatorId);
      case 'organization':
        return { organization: object === 'second' ? this.#countries.second.organizationId : organization };
      case 'lease':
        throw new Error('leases are made once');
    }
  }

  async #team(object: string, organization: string): Promise<string> {
    const { red, violet } = this.#teams;
    const ready = this.#shared.has(`team ${object} anybody`);
    if (!ready && (object === 'red' || object === 'violet')) {
      return object === 'red' ? red : violet;
    }
    const id = await insertTeam(this.server, organization);
    await joinTeam(this.server, organization, id, this.#countries[object === 'foreign' ? 'second' : 'first'].dummyId);
    return id;
  }

  #taskShape(object: string, createdBy: string): TaskShape {
    const { red, violet } = this.#teams;
    const ofViolet = { createdBy, teamId: violet, visibility: 'team' } as const;
    switch (object) {
      case 'own':
        return { createdBy, visibility: 'private' };
      case 'team':
        return { createdBy, teamId: red, visibility: 'team' };
      case 'other':
        return ofViolet;
      case 'readShared':
      case 'writeShared':
        return { ...ofViolet, share: { teamId: red, access: object === 'readShared' ? 'read' : 'write' } };
      case 'readProject':
      case 'writeProject':
        return { ...ofViolet, projectId: object === 'readProject' ? this.#projects.read : this.#projects.write };
      case 'private':
        return { createdBy, teamId: red, visibility: 'private', share: { teamId: red, access: 'write' } };
      case 'secluded':
        return { createdBy, teamId: red, visibility: 'private', projectId: this.#projects.write };
      case 'open':
        return { createdBy, teamId: violet, visibility: 'organization' };
      case 'asked':
        return { createdBy, visibility: 'private', asksId: this.cast.yard.outsider.id };
      case 'foreign':
        return { createdBy, visibility: 'organization' };
      default:
        throw new Error(`no task is called ${object}`);
    }
  }

  #countryOf(actor: ActorName): Country {
    return this.#countries[this.cast.actors[actor].organization ?? 'first'];
  }

  #ownerOf(object: string, actor: ActorName): string {
    const owner = this.cast.actors[actor].creatorId;
    return object === 'own' ? (owner ?? this.cast.actors.creator.creatorId ?? '') : 'anybody';
  }
}

async function organizations(testServer: TestServer): Promise<[string, string]> {
  const rows = await testServer.database.rows<{ id: string }>(
    sql`select id from organizations order by operates_instance desc`,
  );
  const [first, second] = rows.map(({ id }) => id);
  return [first ?? '', second ?? ''];
}

async function country(
  testServer: TestServer,
  organizationId: string,
  creatorId: string,
  shareTeamId: string,
): Promise<Country> {
  const sharedTeamId = await insertTeam(testServer, organizationId);
  const dummyId = await insertUser(testServer, organizationId, 'member');
  await insertAgent(testServer, organizationId, IDLE_AGENT_SLUG);
  return {
    organizationId,
    agentId: await insertAgent(testServer, organizationId, AGENT_SLUG),
    creatorId,
    shareTeamId,
    sharedTeamId,
    dummyId,
    artistAccountId: await insertAccount(testServer, organizationId, creatorId, null),
  };
}
