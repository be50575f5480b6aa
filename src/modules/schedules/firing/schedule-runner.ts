/**
 * Drives the firing in this process, as in every other: there is no leader, and none is needed. Between two turns it sleeps until the
 * next slot is due, a second at most, since slots come by requests too. Every half minute it looks for schedules that have lost their
 * next slot or are long overdue, which should not happen, and says so.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Log } from '../../../kernel/log.js';
import { ScheduleDispatchRepository } from './schedule-dispatch.repository.js';
import { ScheduleDispatcher } from './schedule-dispatcher.js';
import { ScheduleNotifier } from './schedule-notifier.js';

const INTERVAL_MS = 1_000;
const MIN_INTERVAL_MS = 5;
const CONTENTION_BACKOFF_MS = 20;
const ROUNDS_PER_CHECK = 30;
/** Overdue by more than this, something is wrong: with a budget of a minute for a hundred thousand, and one that cannot be fired. */
const OVERDUE_SECONDS = 300;
const LOOKED_AT = 1_000;
/** How long the ledger is kept. */
const LEDGER_DAYS = 400;
const SWEPT_AT_ONCE = 5_000;

@Injectable()
export class ScheduleRunner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly firing: ScheduleDispatcher,
    private readonly repository: ScheduleDispatchRepository,
    private readonly news: ScheduleNotifier,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Looks for what should not be; answers how many schedules got their next slot back. */
  async check(): Promise<number> {
    const rearmed = await this.firing.rearm();
    if (rearmed > 0) {
      this.log.warn('schedules without a next slot got one', { count: rearmed });
    }
    const { count, longestSeconds } = await this.repository.overdue(OVERDUE_SECONDS, LOOKED_AT);
    if (count > 0) {
      this.log.warn('schedules are long overdue', { count, longest_seconds: Math.round(longestSeconds) });
    }
    await this.repository.sweepLedger(LEDGER_DAYS, SWEPT_AT_ONCE);
    return rearmed;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let round = 0; !signal.aborted; round += 1) {
      const waitMs = await this.#round(round).catch((error: unknown) => {
        this.log.warn('schedules could not be fired; trying again', { error });
        return INTERVAL_MS;
      });
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Answers how long nothing is to be done. */
  async #round(round: number): Promise<number> {
    if (round === 0) {
      const outdated = await this.firing.recompute();
      if (outdated > 0) {
        this.log.info('next slots were computed anew with a newer time zone database', { count: outdated });
      }
    }
    if (round % ROUNDS_PER_CHECK === 0) {
      await this.check();
    }
    const decided = await this.firing.fire(null, () => this.#stop.signal.aborted);
    await this.news.tellPaused();
    const untilDueMs = await this.repository.untilDueMs();
    // What is due and was not taken is held by somebody: it will be let go, and asking again and again helps nobody.
    return Math.min(
      INTERVAL_MS,
      Math.max(decided === 0 ? CONTENTION_BACKOFF_MS : MIN_INTERVAL_MS, untilDueMs ?? INTERVAL_MS),
    );
  }
}
