/**
 * How a new run comes in: its delay and time to live become instants of the database's clock, and where its concurrency key is full
 * the agent's strategy decides.
 *
 * - `queue`: it waits in the line of its key.
 * - `cancel_oldest`: the oldest runs of the key make way, queued ones at once, running ones by a wish their workers hear; the new one
 *   waits for the slot they leave. For work of which only the newest matters.
 * - `drop_newest`: the new run is refused. For work that need not be done again while it is being done.
 *
 * The latter two count what has not ended, but for runs that wait for somebody or were asked to stop. They count and cancel only runs
 * of tasks that the starter may contribute to; for a schedule, runs of tasks with the same creator or team.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { EventBus, streamTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { assertNever } from '../../../kernel/assert-never.js';
import { DomainError, invalid } from '../../../kernel/errors.js';
import { RunEnqueuerRepository, type StartTimes } from './run-enqueuer.repository.js';
import { DELAY_RANGE, parseDelay, parseTtl, TTL_RANGE, ttlText } from '../core/run-times.js';
import type { RunSettings } from './runs.repository.js';

/** What the agent of a run says about runs of one key. */
export type KeySettings = Pick<RunSettings, 'agentId' | 'concurrencyKeyLimit' | 'concurrencyStrategy'>;

export interface Admitted {
  delayedUntil: string | null;
  expiresAt: string | null;
  ttl: string | null;
  concurrencyKey: string | null;
}

@Injectable()
export class RunEnqueuer {
  constructor(
    private readonly repository: RunEnqueuerRepository,
    private readonly bus: EventBus,
  ) {}

  /** @throws DomainError `invalid-request` for an impossible delay or time to live, `limit-reached` */
  async admit(
    tx: Tx,
    scope: WriteScope,
    settings: RunSettings,
    input: {
      delay?: number | string | undefined;
      ttl?: number | string | undefined;
      concurrencyKey?: string | undefined;
      scheduledTaskId?: string;
    },
  ): Promise<Admitted> {
    const times = await this.#times(tx, scope, input.delay, input.ttl);
    const concurrencyKey = input.concurrencyKey ?? settings.concurrencyKey;
    if (concurrencyKey !== null) {
      await this.makeRoom(tx, scope, settings, concurrencyKey, input.scheduledTaskId);
    }
    return {
      delayedUntil: times.delayedUntil,
      expiresAt: times.expiresAt,
      ttl: input.ttl === undefined ? null : ttlText(input.ttl),
      concurrencyKey,
    };
  }

  /** Most runs say nothing of times, and cost no look at the database's clock. */
  async #times(tx: Tx, scope: WriteScope, delay?: number | string, ttl?: number | string): Promise<StartTimes> {
    if (delay === undefined && ttl === undefined) {
      return { delayedUntil: null, expiresAt: null, isPossible: true };
    }
    const start = delay === undefined ? null : parseDelay(delay);
    const life = ttl === undefined ? null : parseTtl(ttl);
    if (delay !== undefined && start === null) {
      throw invalid('/delay', DELAY_RANGE);
    }
    if (ttl !== undefined && life === null) {
      throw invalid('/ttl', TTL_RANGE);
    }
    const times = await this.repository.times(scope, tx, start, life);
    if (!times.isPossible) {
      throw invalid('/delay', DELAY_RANGE);
    }
    return times;
  }

  /** Does what the agent's strategy says about another run of the key, before it comes in. @throws DomainError `limit-reached` */
  async makeRoom(
    tx: Tx,
    scope: WriteScope,
    settings: KeySettings,
    key: string,
    scheduledTaskId: string | null = null,
  ): Promise<void> {
    const { agentId, concurrencyKeyLimit: limit, concurrencyStrategy: strategy } = settings;
    const members = { agentId, key, scheduledTaskId };
    switch (strategy) {
      case 'queue':
        return;
      case 'drop_newest':
        if ((await this.repository.over(scope, tx, members, limit)) > 0) {
          throw new DomainError(
            'limit-reached',
            `The agent takes ${limit} at a time of concurrency key '${key}', and has them.`,
            {
              issues: [{ path: '/concurrency_key', message: `is at its limit of ${limit}` }],
            },
          );
        }
        return;
      case 'cancel_oldest': {
        const over = await this.repository.over(scope, tx, members, limit);
        const changed = over === 0 ? [] : await this.repository.cancelOldest(scope, tx, { ...members, over });
        tx.afterCommit(() => changed.forEach((id) => this.bus.publish(streamTopic(id))));
        return;
      }
      default:
        assertNever(strategy);
    }
  }
}
