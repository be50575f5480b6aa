/**
 * Does what bulk operations ask for, a few runs at a time, on any replica.
 *
 * - **In whose name.** Each turn loads the actor afresh, and each run is canceled or replayed by the same use case as a request of
 *   theirs: who lost a right meanwhile gets `forbidden` or `not-found` for that run, and who may not act at all stops the operation.
 * - **Killed at any moment.** What is left is in the database. A replay, its count and its row of the list are one transaction, so no
 *   run is replayed twice. A cancel is its own commit and then counted; canceled again it changes nothing, and is counted once.
 * - **Two replicas at one operation** (a lease that ran out under a slow one) are slower, not wrong, for the same reasons.
 * - **Nobody waits.** Operations have their turns one after the other, and there is a pause after each turn.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { type Actor, may, unsafelySystemScope, type WriteScope, writeScope } from '../../../access/index.js';
import { Database, StaleActorError } from '../../../database/database.js';
import { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError, type ErrorCode } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { ActorLoader } from '../../auth/index.js';
import { ReplayService } from '../lifecycle/replay.service.js';
import { RunsService } from '../lifecycle/runs.service.js';
import { BULK_TOPIC } from './bulk-operations.service.js';
import { BulkOperationsRepository, type ClaimedOperation, type Settled } from './bulk-operations.repository.js';

const RUNS_A_TURN = 50;
/** Longer than any turn takes. One that a killed replica held rests so long. */
const LEASE_SECONDS = 30;
const INTERVAL_MS = 10;
/** Hints say when there is work; this is for those that were lost. */
const IDLE_MS = 5_000;

@Injectable()
export class BulkWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #working: Promise<void> = Promise.resolve();

  constructor(
    private readonly repository: BulkOperationsRepository,
    private readonly database: Database,
    private readonly actors: ActorLoader,
    private readonly runs: RunsService,
    private readonly replays: ReplayService,
    private readonly bus: EventBus,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#working = this.#work();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#working;
  }

  /** One turn of one operation; false where there was none to take up. */
  async turn(): Promise<boolean> {
    const operation = await this.repository.claim(LEASE_SECONDS);
    if (operation === null) {
      return false;
    }
    const scope = unsafelySystemScope(operation.organizationId, 'keep the books of a bulk operation');
    const actor = await this.actors.load(operation.organizationId, operation.principalId);
    if (actor === null || !may(actor, 'run:contribute') || !may(actor, 'run:create')) {
      await this.repository.stop(scope, operation.id);
      this.log.info('bulk operation stopped: its principal may not act any more', facts(operation));
      return true;
    }
    try {
      const runIds = await this.repository.left(scope, operation.id, RUNS_A_TURN);
      if (operation.action === 'cancel') {
        await this.#cancel(scope, actor, operation.id, runIds);
      } else {
        await this.#replay(actor, operation.id, runIds);
      }
    } catch (error) {
      // The actor's rights were changed in the middle of it; the next turn has them as they are.
      if (!(error instanceof StaleActorError)) {
        throw error;
      }
    }
    await this.repository.release(scope, operation.id);
    return true;
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const worked = await this.turn().catch((error: unknown) => {
        // The lease keeps it resting for a while.
        this.log.warn('a bulk operation was interrupted; it goes on', { error });
        return false;
      });
      await (worked
        ? delay(INTERVAL_MS, undefined, { signal }).catch(() => undefined)
        : this.bus.wait(BULK_TOPIC, IDLE_MS, signal));
    }
  }

  async #cancel(scope: WriteScope, actor: Actor, id: string, runIds: readonly string[]): Promise<void> {
    const settled: Settled[] = [];
    try {
      for (const runId of runIds) {
        if (this.#stop.signal.aborted) {
          break;
        }
        settled.push({ runId, error: await this.#refusal(() => this.runs.cancel(actor, runId, false)) });
      }
    } finally {
      if (settled.length > 0) {
        await this.repository.settle(scope, this.database, id, settled);
      }
    }
  }

  async #replay(actor: Actor, id: string, runIds: readonly string[]): Promise<void> {
    const scope = writeScope(actor, 'run:create');
    for (const runId of runIds) {
      if (this.#stop.signal.aborted) {
        return;
      }
      await this.database.write(scope, async (tx) => {
        if (await this.repository.hold(scope, tx, id, runId)) {
          const error = await this.#refusal(() =>
            tx.attempt(() => this.replays.replayRun(tx, scope, runId, `bulk:${id}`)),
          );
          await this.repository.settle(scope, tx, id, [{ runId, error }]);
        }
      });
    }
  }

  /** Why the action was refused; null where it was not. An error that says nothing of this run is thrown on. */
  async #refusal(action: () => Promise<unknown>): Promise<ErrorCode | null> {
    try {
      await action();
      return null;
    } catch (error) {
      if (error instanceof StaleActorError || (error instanceof DomainError && error.fault === 'outside')) {
        throw error;
      }
      if (!(error instanceof DomainError) || error.fault === 'ours') {
        this.log.error('a bulk operation failed on a run', { error });
        return 'internal';
      }
      return error.code;
    }
  }
}

function facts({ organizationId, id }: ClaimedOperation): Record<string, unknown> {
  return { organization_id: organizationId, bulk_operation_id: id };
}
