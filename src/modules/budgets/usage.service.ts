import { Injectable } from '@nestjs/common';
import { type Actor, may, readScope } from '../../access/index.js';
import { StaleActorError } from '../../database/database.js';
import { Clock } from '../../kernel/clock.js';
import { invalid } from '../../kernel/errors.js';
import { UsageQuery } from './usage.query.js';
import { MAX_DAYS, type Usage, type UsageQueryInput } from './usage.schema.js';

const DAY_MS = 24 * 60 * 60 * 1000;
const USUAL_DAYS = 30;

@Injectable()
export class UsageService {
  constructor(
    private readonly query: UsageQuery,
    private readonly clock: Clock,
  ) {}

  /** What the runs of readable tasks have used, and for admins how the budgets stand. @throws DomainError `invalid-request` */
  async get(actor: Actor, { group_by: group, ...asked }: UsageQueryInput): Promise<Usage> {
    const { from, to } = this.#range(asked);
    const counted = await this.query.count(readScope(actor, 'usage:read'), from, to, group);
    if (counted === null) {
      throw new StaleActorError();
    }
    const budgets = may(actor, 'budget:read') ? await this.query.budgets(readScope(actor, 'budget:read')) : [];
    return { from, to, group_by: group, ...counted, budgets };
  }

  #range(asked: Pick<UsageQueryInput, 'from' | 'to'>): { from: string; to: string } {
    const to = asked.to ?? dayOf(this.clock.nowMs() + DAY_MS);
    const from = asked.from ?? dayOf(Date.parse(to) - USUAL_DAYS * DAY_MS);
    const days = (Date.parse(to) - Date.parse(from)) / DAY_MS;
    if (!(days >= 1 && days <= MAX_DAYS)) {
      throw invalid('?to', `must be 1 to ${MAX_DAYS} days after from`);
    }
    return { from, to };
  }
}

/** The day of UTC of an instant. */
function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}
