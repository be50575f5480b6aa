/**
 * Deletes what organisations keep no longer. Any replica may sweep at any time: a batch is a short transaction under the lock of its
 * mark, and who finds the mark locked goes on to the next. Each organisation gets its turn of a few batches, so that a large one
 * holds up nobody; what is left is due at the next pass, which then follows soon. Ages are database time; the process's clock only
 * paces the passes.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope, type WriteScope } from '../../access/index.js';
import { Log } from '../../kernel/log.js';
import { BackgroundJob } from '../../kernel/concurrency/background-job.js';
import { AssetsService } from '../assets/index.js';
import { BudgetsService } from '../budgets/index.js';
import { type DueClass, RetentionDueQuery } from './retention-due.query.js';
import { RetentionSweepRepository } from './retention-sweep.repository.js';

/** Organisations and classes found due at once, batches a turn, and files a batch. */
const FOUND = 100;
const BATCHES_A_TURN = 10;
const BATCH_ASSETS = 100;
/** Between passes: after one that finished, and after one that left work. */
const IDLE_INTERVAL_MS = 60_000;
const BUSY_INTERVAL_MS = 1_000;

const FIRST = '00000000-0000-0000-0000-000000000000';

@Injectable()
export class RetentionSweeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.sweep(),
    restMs: IDLE_INTERVAL_MS,
    breathMs: BUSY_INTERVAL_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.warn('a retention sweep failed; it runs again', { error }),
  });

  constructor(
    private readonly due: RetentionDueQuery,
    private readonly repository: RetentionSweepRepository,
    private readonly assets: AssetsService,
    private readonly budgets: BudgetsService,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }

  /** One pass over every organisation; true where work is left. A class that fails is logged, and tried again by the next pass. */
  async sweep(): Promise<boolean> {
    let left = false;
    for (let after = FIRST; ;) {
      const found = await this.due.classes(after, FOUND);
      for (const due of found) {
        if (this.#rounds.signal.aborted) {
          return true;
        }
        left = (await this.#turn(due)) || left;
      }
      const last = found.at(-1);
      if (last === undefined) {
        break;
      }
      // Classes of one organisation that did not fit are left to the next pass, which follows soon.
      left = left || found.length === FOUND;
      after = last.organizationId;
    }
    await this.budgets.sweep();
    return left;
  }

  async #turn(due: DueClass): Promise<boolean> {
    const scope = unsafelySystemScope(due.organizationId, 'delete what is kept no longer');
    try {
      for (let batch = 0; batch < BATCHES_A_TURN; batch += 1) {
        if (this.#rounds.signal.aborted) {
          return true;
        }
        const more =
          due.class === 'assets'
            ? await this.#sweepAssets(scope, due.days)
            : await this.repository.sweep(scope, due.class, due.days);
        if (!more) {
          return false;
        }
      }
      return true;
    } catch (error) {
      this.log.warn('retention could not delete; trying again', {
        organization_id: due.organizationId,
        class: due.class,
        error,
      });
      return false;
    }
  }

  /** Bytes before rows; twice at once, on two replicas, is once. */
  async #sweepAssets(scope: WriteScope, days: number): Promise<boolean> {
    const { ids } = await this.due.assets(scope, days, BATCH_ASSETS);
    await this.assets.removeForGood(scope, ids);
    return ids.length === BATCH_ASSETS;
  }
}
