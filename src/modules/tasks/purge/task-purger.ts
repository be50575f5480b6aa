/**
 * Removes for good what was deleted: first the bytes of a task's assets, then its rows. A deletion is final for every reader the
 * moment it commits; this is only the tidying after, so it may be late, run twice, or on several replicas at once. Bytes go first:
 * were the rows to go first and the process to die, nobody would know of the bytes again.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { Log } from '../../../kernel/log.js';
import { BackgroundJob } from '../../../kernel/concurrency/background-job.js';
import { AssetsService } from '../../assets/index.js';
import { type DeletedTask, TaskPurgeRepository } from './task-purge.repository.js';

const BATCH = 50;
const ASSET_BATCH = 100;
const INTERVAL_MS = 5_000;

@Injectable()
export class TaskPurger implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.purge(),
    restMs: INTERVAL_MS,
    onFailure: (error) => this.log.warn('deleted tasks could not be purged; trying again', { error }),
  });

  constructor(
    private readonly repository: TaskPurgeRepository,
    private readonly assets: AssetsService,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }

  /** Purges what is deleted by now; answers how many tasks went. One that fails is logged, and tried again by the next sweep. */
  async purge(): Promise<number> {
    let purged = 0;
    for (;;) {
      const tasks = await this.repository.findDeleted(BATCH);
      let gone = 0;
      for (const task of tasks) {
        gone += (await this.#purgeOne(task)) ? 1 : 0;
      }
      purged += gone;
      // A full batch of which none went would be found again at once, and for ever.
      if (tasks.length < BATCH || gone === 0 || this.#rounds.signal.aborted) {
        return purged;
      }
    }
  }

  async #purgeOne({ organizationId, id }: DeletedTask): Promise<boolean> {
    try {
      const scope = unsafelySystemScope(organizationId, 'purge a deleted task');
      while ((await this.assets.removeBytesOfTask(scope, id, ASSET_BATCH)) > 0) {
        this.#rounds.signal.throwIfAborted();
      }
      await this.repository.purge(scope, id);
      return true;
    } catch (error) {
      this.log.warn('a deleted task could not be purged; trying again', { task_id: id, error });
      return false;
    }
  }
}
