/**
 * Makes the logs of finished runs small: a stream of tokens leaves a row for every few of them, each with its own overhead and index
 * entries. A day after the end they are joined to rows of about a page. Numbers, order and content stay; what goes is the names of
 * batches, for which no worker asks any more. Any replica may do it at any time, in short transactions behind a mark.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { Log } from '../../../kernel/log.js';
import { BackgroundJob } from '../../../kernel/concurrency/background-job.js';
import { StreamCompactionRepository } from './stream-compaction.repository.js';

const ORGANIZATIONS = 100;
const RUNS_A_TURN = 50;
/** Between passes: after one that finished, and after one that left work. */
const IDLE_INTERVAL_MS = 10 * 60_000;
const BUSY_INTERVAL_MS = 1_000;

@Injectable()
export class StreamCompactor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.sweep(),
    restMs: IDLE_INTERVAL_MS,
    breathMs: BUSY_INTERVAL_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.warn('finished streams were not compacted; tried again later', { error }),
  });

  constructor(
    private readonly repository: StreamCompactionRepository,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }

  /** One pass; true where it left work. */
  async sweep(): Promise<boolean> {
    let left = false;
    for (const organizationId of await this.repository.dueOrganizations(ORGANIZATIONS)) {
      const scope = unsafelySystemScope(organizationId, 'joining the small rows of finished logs');
      left = (await this.repository.compactNext(scope, RUNS_A_TURN)) === RUNS_A_TURN || left;
    }
    return left;
  }
}
