import { Injectable } from '@nestjs/common';
import { type Actor, type ReadScope, type WriteScope, readScope, writeScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../database/idempotency.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../http/pagination/cursor-paginator.js';
import { DomainError, invalid, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import type { Page } from '../../kernel/page.js';
import { AgentDestinations } from './agent-destinations.js';
import { changesOf, namedAgents, newAgent } from './agent-input.js';
import {
  AgentsRepository,
  type AgentForExecution,
  type AgentIdentity,
  type AgentRow,
  type AgentUse,
} from './agents.repository.js';
import type { AgentListQuery, AgentPatch, AgentSigningSecret, AgentView, NewAgentInput } from './agents.schema.js';
import { type RunConfig, runConfigSchema } from './run-config.schema.js';

@Injectable()
export class AgentsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: AgentsRepository,
    private readonly destinations: AgentDestinations,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'agents');
  }

  async list(actor: Actor, query: AgentListQuery): Promise<Page<AgentView>> {
    const scope = readScope(actor, 'agent:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  async get(actor: Actor, id: string): Promise<AgentView> {
    return required(await this.repository.find(readScope(actor, 'agent:read'), id));
  }

  /** @throws DomainError `not-available` for kinds and settings of later versions, `already-exists` for a slug in use */
  async create(actor: Actor, input: NewAgentInput, ticket: IdempotencyTicket | null): Promise<Outcome<AgentView>> {
    const scope = writeScope(actor, 'agent:manage');
    const agent = newAgent(input, this.destinations);
    return this.idempotency.run(scope, ticket, async (tx) => {
      await this.assertKnownAgents(tx, scope, input.default_run_config ?? {}, '/default_run_config');
      const id = newId();
      await this.repository.insert(scope, tx, { id, ...agent });
      return required(await this.repository.find(scope, id, tx));
    });
  }

  async update(actor: Actor, id: string, patch: AgentPatch): Promise<AgentView> {
    const scope = writeScope(actor, 'agent:manage');
    return this.database.write(scope, async (tx) => {
      const changes = changesOf(required(await this.repository.lock(scope, tx, id)), patch, this.destinations);
      const runConfig = runConfigSchema.parse(changes.defaultRunConfig ?? {});
      await this.assertKnownAgents(tx, scope, runConfig, '/default_run_config');
      await this.repository.update(scope, tx, id, changes);
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /**
   * Deletes an agent: it takes no more tasks and its slug is free; what it did stays.
   * @throws DomainError `still-referenced` for the default agent, and for one with runs that have not ended
   */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'agent:manage');
    await this.database.write(scope, async (tx) => {
      required(await this.repository.lockForDeletion(scope, tx, id));
      const use = await this.repository.use(scope, tx, id);
      if (use !== null) {
        throw new DomainError('still-referenced', USE_SENTENCES[use]);
      }
      await this.repository.remove(scope, tx, id);
    });
  }

  /**
   * The agent that a request names by slug, by id, or (with neither) by saying nothing, which is the organisation's default.
   * @throws DomainError `not-found` where there is none like that, `invalid-request` where nothing is named and there is no default
   */
  async resolve(
    tx: Tx | null,
    scope: ReadScope,
    named: { agent?: string | undefined; agent_id?: string | undefined },
  ): Promise<AgentRow> {
    const agent = await this.repository.resolve(scope, tx, { slug: named.agent, id: named.agent_id });
    if (agent === null && named.agent === undefined && named.agent_id === undefined) {
      throw invalid('/agent', 'must be given: the organization has no default agent');
    }
    return required(agent);
  }

  /** The agents of these slugs, by slug; what is not there is left out. */
  async idsBySlug(scope: ReadScope, slugs: readonly string[]): Promise<Map<string, AgentIdentity>> {
    return new Map((await this.repository.idsBySlug(scope, slugs)).map((agent) => [agent.slug, agent]));
  }

  /** How an agent is run, for the worker in this process; deleted agents too, whose runs are still theirs. */
  async forExecution(actor: Actor, agentId: string): Promise<AgentForExecution> {
    return required(await this.repository.forExecution(writeScope(actor, 'worker:act'), agentId));
  }

  /**
   * What the requests to an http agent are signed with, for whoever sets up its other side. It is for the agent's present origin:
   * moving the agent to another brings another secret.
   * @throws DomainError `not-found` also for agents of other kinds, which have none
   */
  async signingSecret(actor: Actor, id: string): Promise<AgentSigningSecret> {
    const scope = writeScope(actor, 'agent:manage');
    // A write, for its row in the audit trail: whoever is shown a secret is told of there.
    return this.database.write(scope, async (tx) => {
      const agent = required(await this.repository.find(scope, id, tx));
      if (agent.kind !== 'http') {
        throw notFound('signing secret');
      }
      return this.destinations.signingSecret(scope.organizationId, id, agent.config);
    });
  }

  /**
   * Refuses a run configuration that names agents which are not the organisation's.
   * @param pointer where the configuration is in the body, as a JSON Pointer
   */
  async assertKnownAgents(tx: Tx, scope: WriteScope, config: RunConfig, pointer: string): Promise<void> {
    const named = namedAgents(config, pointer);
    if (named.length === 0) {
      return;
    }
    const known = await this.repository.known(
      scope,
      tx,
      named.map(({ id }) => id),
    );
    const stranger = named.find(({ id }) => !known.includes(id));
    if (stranger !== undefined) {
      throw invalid(stranger.pointer, 'There is no such agent.');
    }
  }
}

const USE_SENTENCES: Readonly<Record<AgentUse, string>> = {
  default: 'This is the default agent of the organization; give the organization another default first.',
  runs: 'The agent still has runs that have not ended; cancel them, or wait for them, first.',
};

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('agent');
  }
  return found;
}
