/**
 * Budgets as their owners see and set them. They are counted and enforced where runs are written, by triggers of the runs table
 * (migration `budgets`), in the transaction of the run or its cost; nothing here is asked when a run is made.
 */
import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../database/idempotency.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../http/pagination/cursor-paginator.js';
import { invalid, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import type { Page } from '../../kernel/page.js';
import { BudgetsRepository, type BudgetRow } from './budgets.repository.js';
import type { BudgetListQuery, BudgetPatch, BudgetView, NewBudgetInput } from './budgets.schema.js';

const SWEPT_AT_ONCE = 500;

@Injectable()
export class BudgetsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: BudgetsRepository,
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'budgets');
  }

  async list(actor: Actor, query: BudgetListQuery): Promise<Page<BudgetView>> {
    const scope = readScope(actor, 'budget:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<BudgetView> {
    return required(await this.repository.find(readScope(actor, 'budget:read'), id));
  }

  /** Counts from now on: what was spent before is not charged to it. @throws DomainError `invalid-request`, `limit-reached` */
  async create(actor: Actor, input: NewBudgetInput, ticket: IdempotencyTicket | null): Promise<Outcome<BudgetView>> {
    const scope = writeScope(actor, 'budget:manage');
    const budget = newBudget(input);
    return this.idempotency.run(scope, ticket, async (tx) => {
      const { scopeKind, scopeId } = budget;
      if (scopeId !== null && !(await this.repository.subjectExists(scope, tx, scopeKind, scopeId))) {
        throw invalid('/scope/id', `There is no such ${scopeKind}.`);
      }
      await this.repository.insert(scope, tx, budget);
      return required(await this.repository.find(scope, budget.id, tx));
    });
  }

  /** @throws DomainError `not-found`, `invalid-request` for what would leave the budget without a limit, or is not for its scope */
  async update(actor: Actor, id: string, patch: BudgetPatch): Promise<BudgetView> {
    const scope = writeScope(actor, 'budget:manage');
    return this.database.write(scope, async (tx) => {
      assertPatch(required(await this.repository.lock(scope, tx, id)), patch);
      await this.repository.update(scope, tx, id, patch);
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /** @throws DomainError `not-found` */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'budget:manage');
    await this.database.write(scope, async (tx) => {
      if (!(await this.repository.remove(scope, tx, id))) {
        throw notFound('budget');
      }
    });
  }

  /** Deletes some counters that are of no use any more; answers how many. */
  async sweep(): Promise<number> {
    return this.repository.sweepCounters(SWEPT_AT_ONCE);
  }
}

function newBudget(input: NewBudgetInput): BudgetRow {
  const perRun = input.scope.kind === 'run';
  return {
    id: newId(),
    name: input.name,
    scopeKind: input.scope.kind,
    scopeId: input.scope.id ?? null,
    period: input.period ?? (perRun ? 'total' : 'month'),
    limitCents: input.limit_cents ?? null,
    limitRuns: input.limit_runs ?? null,
    action: input.action ?? (perRun ? 'stop' : 'refuse'),
    enabled: input.enabled,
  };
}

function assertPatch(budget: BudgetRow, patch: BudgetPatch): void {
  const limitCents = patch.limit_cents === undefined ? budget.limitCents : patch.limit_cents;
  const limitRuns = patch.limit_runs === undefined ? budget.limitRuns : patch.limit_runs;
  if (limitCents === null && limitRuns === null) {
    throw invalid('/limit_cents', 'A budget has a limit: give one, or disable the budget.');
  }
  if (budget.scopeKind === 'run' && limitRuns !== null) {
    throw invalid('/limit_runs', 'must be left out: a run is one run');
  }
  if (budget.scopeKind === 'run' && (patch.action ?? 'stop') !== 'stop') {
    throw invalid('/action', 'must be stop: a run costs nothing before it starts');
  }
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('budget');
  }
  return found;
}
