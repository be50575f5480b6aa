/**
 * Claims as they arrive: those of one key for the same agents that come while another is under way go together, as one statement with
 * several claimers (`claim.query.ts`) and one look-up of what they are handed.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { BoundedCache } from '../../../kernel/bounded-cache.js';
import { Clock } from '../../../kernel/clock.js';
import { invalid } from '../../../kernel/errors.js';
import { BatchExecutor } from '../../../kernel/concurrency/batch-executor.js';
import { AgentsService } from '../../agents/index.js';
import { SecretValues } from '../../secrets/index.js';
import { latestMessagesJson } from '../../messages/index.js';
import type { Claimer } from './claim.query.js';
import { type Fence, fenceForWorker, mayHoldSecrets } from '../core/leases.js';
import { RunsQuery, type Assignment } from '../views/runs.query.js';
import { WorkerRepository, type ClaimedRun } from './worker.repository.js';

export interface ClaimedWork extends Assignment {
  secrets: Record<string, string>;
  lease: { fence: string; expires_in_seconds: number };
}

/** What one claimer got, and the agents it asked for. */
export interface Claimed {
  runs: ClaimedWork[];
  agentIds: string[];
}

interface ClaimContext {
  /** Alike for all that are gathered: who asks, and for what. */
  key: string;
  scope: WriteScope;
  slugs: readonly string[];
}

/** Looks in a row that each found runs of full concurrency keys, and put them out of the way of the next. */
const MAX_LOOKS = 20;
/** Messages a worker is told with its lease: the newest. */
const TOLD_MESSAGES = 200;
/** Claimers of one statement; each may ask for up to 100 runs. */
const MAX_CLAIMERS = 16;
/** So long the agents behind slugs are taken to be the same. The claim itself asks whether they are; what it finds nothing for is looked up. */
const AGENTS_KEPT_MS = 1_000;
const MAX_KEPT = 1_000;

@Injectable()
export class ClaimBatcher {
  readonly #gatherer = new BatchExecutor<ClaimContext, Claimer, Claimed>(
    (context, claimers) => this.#claim(context, claimers),
    { most: MAX_CLAIMERS, flights: 2 },
  );
  readonly #agents: BoundedCache<string[]>;

  constructor(
    private readonly repository: WorkerRepository,
    private readonly query: RunsQuery,
    private readonly agents: AgentsService,
    private readonly secrets: SecretValues,
    private readonly clock: Clock,
  ) {
    this.#agents = new BoundedCache(clock, MAX_KEPT);
  }

  /**
   * What is due now, at most as many as asked for.
   * @throws DomainError `invalid-request` for an agent that is not there or not this key's to run
   */
  async take(scope: WriteScope, slugs: readonly string[], claimer: Claimer): Promise<Claimed> {
    const { organizationId, principalId, epoch } = scope.actor;
    const key = [organizationId, principalId, epoch, ...slugs].join(' ');
    return this.#gatherer.add(key, { key, scope, slugs }, claimer);
  }

  async #claim(context: ClaimContext, claimers: readonly Claimer[]): Promise<Claimed[]> {
    const { key, scope } = context;
    const kept = this.#agents.get(key);
    let agentIds = kept ?? (await this.#look(context));
    let leases = await this.#lease(context, agentIds, claimers);
    if (kept !== null && leases.length === 0) {
      agentIds = await this.#look(context);
      leases = agentIds.join() === kept.join() ? [] : await this.#lease(context, agentIds, claimers);
    }
    const work = await this.#assign(scope, leases);
    return claimers.map((_, index) => ({
      agentIds,
      runs: leases.flatMap(({ id, claimer }) => {
        const one = claimer === index ? work.get(id) : undefined;
        return one === undefined ? [] : [one];
      }),
    }));
  }

  async #look({ key, scope, slugs }: ClaimContext): Promise<string[]> {
    this.#agents.delete(key);
    const agentIds = await this.#agentIds(scope, slugs);
    this.#agents.set(key, agentIds, this.clock.nowMs() + AGENTS_KEPT_MS);
    return agentIds;
  }

  async #lease(
    { scope, slugs }: ClaimContext,
    agentIds: readonly string[],
    claimers: readonly Claimer[],
  ): Promise<ClaimedRun[]> {
    const { actor } = scope;
    const teamIds = actor.heldToTeams ? [...actor.teams.keys()] : null;
    const leases: ClaimedRun[] = [];
    for (let look = 1; look <= MAX_LOOKS; look += 1) {
      const wanting = claimers.map(({ workerId, most }, index) => ({
        workerId,
        most: most - leases.filter(({ claimer }) => claimer === index).length,
      }));
      const { runs, heldBack } = await this.repository.claim(scope, { agentIds, slugs, teamIds, claimers: wanting });
      leases.push(...runs);
      if (!heldBack || wanting.reduce((sum, { most }) => sum + most, 0) <= runs.length) {
        break;
      }
    }
    return leases;
  }

  async #agentIds(scope: WriteScope, slugs: readonly string[]): Promise<string[]> {
    const found = await this.agents.idsBySlug(scope, slugs);
    const allowed = scope.actor.agentIds;
    return slugs.map((slug, index) => {
      const agent = found.get(slug);
      // Agents of other kinds run by the server; a worker outside that took their runs would only keep them from it.
      const mine = agent !== undefined && (agent.kind === 'worker' || scope.actor.kind === 'system');
      if (!mine || (allowed !== null && !allowed.includes(agent.id))) {
        throw invalid(`/agents/${index}`, `There is no agent '${slug.slice(0, 63)}' that this key may run.`);
      }
      return agent.id;
    });
  }

  async #assign(scope: WriteScope, leases: readonly ClaimedRun[]): Promise<Map<string, ClaimedWork>> {
    if (leases.length === 0) {
      return new Map();
    }
    const byRun = new Map(leases.map((lease) => [lease.id, lease]));
    const assignments = await this.query.assignments(scope, [...byRun.keys()], (task) =>
      latestMessagesJson(task, TOLD_MESSAGES),
    );
    // A task that came to name secrets since the claim gives them with the next one: this lease has no mark.
    const naming = assignments
      .filter(({ run, task }) => {
        const lease = byRun.get(run.id);
        return lease !== undefined && task.secret_names.length > 0 && mayHoldSecrets(fenceOf(lease));
      })
      .map(({ run }) => run.id);
    const given = naming.length === 0 ? null : await this.secrets.give(scope, naming);
    return new Map(
      assignments.flatMap((assignment) => {
        const lease = byRun.get(assignment.run.id);
        const secrets = given?.get(assignment.run.id) ?? {};
        return lease === undefined ? [] : [[lease.id, { ...assignment, secrets, lease: leaseView(lease) }]];
      }),
    );
  }
}

function leaseView(lease: ClaimedRun): ClaimedWork['lease'] {
  return { fence: fenceForWorker(fenceOf(lease)), expires_in_seconds: lease.expiresInSeconds };
}

function fenceOf({ fence, nonce }: ClaimedRun): Fence {
  return { counter: fence, nonce };
}
