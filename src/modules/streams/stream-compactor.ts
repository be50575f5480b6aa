/**
 * Makes the logs of finished runs small: a stream of tokens leaves a row for every few of them, each with its own overhead and index
 * entries. A day after the end they are joined to rows of about a page. Numbers, order and content stay; what goes is the names of
 * batches, for which no worker asks any more. Any replica may do it at any time, in short transactions behind a mark.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../access/index.js';
import { Log } from '../../kernel/log.js';
import { StreamCompactionRepository } from './stream-compaction.repository.js';

const ORGANIZATIONS = 100;
const RUNS_A_TURN = 50;
/** Between passes: after one that finished, and after one that left work. */
const REST_MS = 10 * 60_000;
const BREATH_MS = 1_000;

@Injectable()
export class StreamCompactor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly repository: StreamCompactionRepository,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
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

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let restMs = REST_MS;
    for (;;) {
      await delay(restMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) {
        return;
      }
      try {
        restMs = (await this.sweep()) ? BREATH_MS : REST_MS;
      } catch (error) {
        restMs = REST_MS;
        this.log.warn('finished streams were not compacted; tried again later', { error });
      }
    }
  }
}
