import { Injectable } from '@nestjs/common';
import { type Actor, type ReadScope, readScope, writeScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { RetentionDueQuery, type RunClass } from './retention-due.query.js';
import { RetentionRepository } from './retention.repository.js';
import type { Retention, RetentionPatch, RetentionReport } from './retention.schema.js';

/** A dry run is a request like any other, so it looks at this many runs and files of a class, and says where there are more. */
const LOOKED_AT = 10_000;

interface Counted {
  count: number;
  more: boolean;
}

const NOTHING: Counted = { count: 0, more: false };

@Injectable()
export class RetentionService {
  constructor(
    private readonly repository: RetentionRepository,
    private readonly due: RetentionDueQuery,
    private readonly database: Database,
  ) {}

  async get(actor: Actor): Promise<Retention> {
    return this.repository.policy(readScope(actor, 'retention:read'));
  }

  async update(actor: Actor, patch: RetentionPatch): Promise<Retention> {
    const scope = writeScope(actor, 'retention:manage');
    return this.database.write(scope, async (tx) => {
      await this.repository.lock(scope, tx);
      const policy = merged(await this.repository.policy(scope, tx), patch);
      await this.repository.put(scope, tx, policy);
      return policy;
    });
  }

  /** What would go if the sweeps came by now, by what is set or by what is tried instead; changes nothing. */
  async dryRun(actor: Actor, tried: RetentionPatch): Promise<RetentionReport> {
    const scope = readScope(actor, 'retention:read');
    const policy = merged(await this.repository.policy(scope), tried);
    return {
      policy,
      events: await this.#weigh(scope, 'events', policy.events_days),
      logs: await this.#weigh(scope, 'logs', policy.logs_days),
      payloads: await this.#weigh(scope, 'payloads', policy.payloads_days),
      runs: await this.#weigh(scope, 'runs', policy.runs_days),
      assets: await this.#weighAssets(scope, policy.assets_days),
    };
  }

  async #weigh(scope: ReadScope, kind: RunClass, days: number | null): Promise<Counted> {
    if (days === null) {
      return NOTHING;
    }
    const due = await this.due.runs(scope, kind, days, LOOKED_AT);
    const count =
      kind === 'runs'
        ? (await this.due.doomed(scope, due, days)).length
        : await this.due.weigh(
            scope,
            kind,
            due.map((run) => run.id),
          );
    return { count, more: due.length === LOOKED_AT };
  }

  async #weighAssets(scope: ReadScope, days: number | null): Promise<Counted & { bytes: number }> {
    if (days === null) {
      return { ...NOTHING, bytes: 0 };
    }
    const { ids, bytes } = await this.due.assets(scope, days, LOOKED_AT);
    return { count: ids.length, more: ids.length === LOOKED_AT, bytes };
  }
}

/** The policy with what the patch gives; null is a value, and keeps for ever. */
function merged(policy: Retention, patch: RetentionPatch): Retention {
  const given = (name: keyof Retention): number | null => {
    const value = patch[name];
    return value === undefined ? policy[name] : value;
  };
  return {
    events_days: given('events_days'),
    logs_days: given('logs_days'),
    payloads_days: given('payloads_days'),
    runs_days: given('runs_days'),
    assets_days: given('assets_days'),
  };
}
