/**
 * How much of each kind an organization may have at once, as the operator has set it. Repositories ask before they insert, so no way of
 * making rows is without the limit.
 *
 * **Exact kinds** are made seldom. Their makers lock the organization's row and count, so the limit is never passed.
 *
 * **Counted kinds** (tasks, runs, schedules, files) are made often. Counting for each insert would cost more than the insert, and a counter row
 * would make all of an organization's inserts wait for one another. A count therefore serves for some time, and what this process lets
 * in meanwhile is added to it:
 *
 * - A count serves for a second, and for a hundred times as long as it took where that is more: counting takes 1 % of a connection at most.
 * - Where the limit would be passed, the rows are counted again at once; a refusal then serves for a second.
 * - What transactions under way in this process have been let in for is added, since their rows cannot be counted yet.
 *
 * So one process never passes a limit. Several may, by what the others make while a count serves.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../access/index.js';
import { AppConfig } from '../config/app-config.js';
import type { RowLimitVariable } from '../config/row-limits.environment.js';
import { BoundedCache } from '../kernel/bounded-cache.js';
import { Clock } from '../kernel/clock.js';
import { DomainError } from '../kernel/errors.js';
import type { Tx } from './database.js';
import { type LimitedRows, RowLimitsQuery } from './row-limits.query.js';

interface Kind {
  variable: RowLimitVariable;
  isExact: boolean;
  noun: string;
  advice: string;
  retryAfterSeconds: number;
}

const MIN_SERVING_MS = 1_000;
const SERVING_PER_COUNTING = 100;
/** Before a refusal, so often it is counted again while others are under way, so long after each. */
const MAX_RECOUNTS = 3;
const MAX_SETTLING_MS = 50;
const MAX_REMEMBERED = 10_000;

const seldom = (variable: RowLimitVariable, noun: string): Kind => ({
  variable,
  isExact: true,
  noun,
  advice: `delete ${noun} that are not needed`,
  retryAfterSeconds: 60,
});
const often = (variable: RowLimitVariable, noun: string): Kind => ({ ...seldom(variable, noun), isExact: false });

const KINDS: Readonly<Record<LimitedRows, Kind>> = {
  tasks: often('MAX_TASKS_PER_ORGANIZATION', 'tasks'),
  openRuns: {
    ...often('MAX_OPEN_RUNS_PER_ORGANIZATION', 'runs that have not ended'),
    advice: 'wait for some to end, or cancel some',
    retryAfterSeconds: 5,
  },
  schedules: often('MAX_SCHEDULES_PER_ORGANIZATION', 'schedules'),
  assets: often('MAX_ASSETS_PER_ORGANIZATION', 'files'),
  agents: seldom('MAX_AGENTS_PER_ORGANIZATION', 'agents'),
  users: seldom('MAX_USERS_PER_ORGANIZATION', 'users'),
  teams: seldom('MAX_TEAMS_PER_ORGANIZATION', 'teams'),
  projects: seldom('MAX_PROJECTS_PER_ORGANIZATION', 'projects'),
  accounts: seldom('MAX_ACCOUNTS_PER_ORGANIZATION', 'accounts'),
  apiKeys: { ...seldom('MAX_API_KEYS_PER_ORGANIZATION', 'API keys'), advice: 'revoke keys that are not needed' },
  secrets: seldom('MAX_SECRETS_PER_ORGANIZATION', 'secrets'),
  webhooks: seldom('MAX_WEBHOOKS_PER_ORGANIZATION', 'webhooks'),
  budgets: seldom('MAX_BUDGETS_PER_ORGANIZATION', 'budgets'),
  bulkOperations: {
    ...seldom('MAX_BULK_OPERATIONS_PER_ORGANIZATION', 'bulk operations that have not ended'),
    advice: 'wait for some to end',
    retryAfterSeconds: 5,
  },
};

/** What this process knows of one kind of an organization. */
interface Standing {
  /** As of the last count; null before the first. */
  counted: number | null;
  /** Let in since, and what was under way at that count. Rows that are not made after all are taken off. */
  admitted: number;
  /** All that was ever let in. */
  total: number;
  readonly underWay: Map<Tx, number>;
  /** Called when one of those has ended. */
  readonly onSettled: Set<() => void>;
  servesUntilMs: number;
  refusesUntilMs: number;
  isCounting: boolean;
}

@Injectable()
export class RowLimits {
  readonly #standings: BoundedCache<Standing>;

  constructor(
    private readonly config: AppConfig,
    private readonly query: RowLimitsQuery,
    private readonly clock: Clock,
  ) {
    this.#standings = new BoundedCache(clock, MAX_REMEMBERED);
  }

  /** Call before so many rows are made, in the transaction that makes them. @throws DomainError `limit-reached` */
  async assertRoom(scope: WriteScope, tx: Tx, kind: LimitedRows, more = 1): Promise<void> {
    const limit = this.#limitOf(kind);
    if (limit === 0 || more === 0) {
      return;
    }
    if (KINDS[kind].isExact) {
      await this.query.lockOrganization(scope, tx);
      if ((await this.query.count(scope, tx, kind, limit)) + more > limit) {
        throw limitReached(kind, limit);
      }
      return;
    }
    const standing = this.#standingOf(scope.organizationId, kind);
    if (this.#refuses(standing, limit, more)) {
      throw limitReached(kind, limit);
    }
    const isDue = this.clock.nowMs() >= standing.servesUntilMs && !standing.isCounting;
    if (isDue || !hasRoom(standing, limit, more)) {
      await this.#count(scope, tx, kind, limit, standing);
    }
    // What others were committing may have been counted twice: as under way, and as stored.
    for (
      let again = 0;
      again < MAX_RECOUNTS && !hasRoom(standing, limit, more) && isSharedWith(tx, standing);
      again += 1
    ) {
      await nextSettled(standing);
      await this.#count(scope, tx, kind, limit, standing);
    }
    if (!hasRoom(standing, limit, more)) {
      standing.refusesUntilMs = this.clock.nowMs() + MIN_SERVING_MS;
      throw limitReached(kind, limit);
    }
    admit(standing, tx, more);
  }

  /** True where another of the kind was refused just now: for work that need not begin then. */
  isFull(organizationId: string, kind: LimitedRows): boolean {
    const standing = this.#standings.get(keyOf(organizationId, kind));
    return standing !== null && this.#refuses(standing, this.#limitOf(kind), 1);
  }

  #limitOf(kind: LimitedRows): number {
    return this.config.rowLimits[KINDS[kind].variable];
  }

  #refuses(standing: Standing, limit: number, more: number): boolean {
    return this.clock.nowMs() < standing.refusesUntilMs && !hasRoom(standing, limit, more);
  }

  #standingOf(organizationId: string, kind: LimitedRows): Standing {
    const key = keyOf(organizationId, kind);
    const known = this.#standings.get(key);
    if (known !== null) {
      return known;
    }
    const standing: Standing = {
      counted: null,
      admitted: 0,
      total: 0,
      underWay: new Map(),
      onSettled: new Set(),
      servesUntilMs: 0,
      refusesUntilMs: 0,
      isCounting: false,
    };
    this.#standings.set(key, standing, Number.POSITIVE_INFINITY);
    return standing;
  }

  async #count(scope: WriteScope, tx: Tx, kind: LimitedRows, limit: number, standing: Standing): Promise<void> {
    // The transaction sees its own rows; those of others that are under way it does not.
    let unseen = 0;
    for (const [other, rows] of standing.underWay) {
      unseen += other === tx ? 0 : rows;
    }
    const before = standing.total;
    const begun = performance.now();
    standing.isCounting = true;
    try {
      standing.counted = await this.query.count(scope, tx, kind, limit);
      standing.admitted = unseen + standing.total - before;
      const servesMs = Math.max(MIN_SERVING_MS, (performance.now() - begun) * SERVING_PER_COUNTING);
      standing.servesUntilMs = this.clock.nowMs() + servesMs;
    } finally {
      standing.isCounting = false;
    }
  }
}

function keyOf(organizationId: string, kind: LimitedRows): string {
  return `${organizationId} ${kind}`;
}

function hasRoom({ counted, admitted }: Standing, limit: number, more: number): boolean {
  return counted !== null && counted + admitted + more <= limit;
}

function admit(standing: Standing, tx: Tx, rows: number): void {
  const settle = (): void => {
    const left = (standing.underWay.get(tx) ?? 0) - rows;
    if (left > 0) {
      standing.underWay.set(tx, left);
    } else {
      standing.underWay.delete(tx);
    }
    for (const notify of standing.onSettled) {
      notify();
    }
  };
  standing.admitted += rows;
  standing.total += rows;
  standing.underWay.set(tx, (standing.underWay.get(tx) ?? 0) + rows);
  tx.afterCommit(settle);
  tx.onRollback(() => {
    settle();
    standing.admitted -= rows;
  });
}

function isSharedWith(tx: Tx, { underWay }: Standing): boolean {
  return underWay.size > (underWay.has(tx) ? 1 : 0);
}

/** When the next of the transactions under way has ended, or a moment later: they may wait for this one. */
async function nextSettled(standing: Standing): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      standing.onSettled.delete(done);
      resolve();
    };
    const timer = setTimeout(done, MAX_SETTLING_MS);
    standing.onSettled.add(done);
  });
}

function limitReached(kind: LimitedRows, limit: number): DomainError {
  const { variable, noun, advice, retryAfterSeconds } = KINDS[kind];
  return new DomainError(
    'limit-reached',
    `An organization may have ${limit} ${noun} on this server; ${advice}, or ask its operator to raise ${variable}.`,
    { retryAfterSeconds },
  );
}
