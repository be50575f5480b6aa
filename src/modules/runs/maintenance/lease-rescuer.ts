/**
 * Finds runs whose worker is gone (the lease ran out) or took too long (the attempt's time is over), and does what the state file
 * says. Any replica may sweep at any time: rows are taken with skip-locked, and what is true of a row when it is locked is what
 * decides. With each pass goes one of `run-scheduler.ts` (delays, times to live, lines of keys), one over questions that ran out of
 * time, and one over children of canceled runs. Deadlines are database time; the process's clock only paces the sweeps.
 */
import { Injectable, type OnApplicationBootstrap, type BeforeApplicationShutdown } from '@nestjs/common';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { Log } from '../../../kernel/log.js';
import { ChildrenService } from '../children/children.service.js';
import { QuestionsService } from '../interaction/questions.service.js';
import { LeaseRescuerRepository } from './lease-rescuer.repository.js';
import { RunScheduler } from './run-scheduler.js';

/** Rows a statement: enough to keep up, few enough that locks are short. */
const BATCH = 200;
const INTERVAL_MS = 1_000;

@Injectable()
export class LeaseRescuer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | null = null;
  #sweeping: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    private readonly repository: LeaseRescuerRepository,
    private readonly sweeper: RunScheduler,
    private readonly questions: QuestionsService,
    private readonly children: ChildrenService,
    private readonly bus: EventBus,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#schedule();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
    }
    await this.#sweeping;
  }

  /** One pass over all that is due; returns how many runs it moved. */
  async sweep(): Promise<number> {
    let moved = (await this.sweeper.sweep()) + (await this.questions.sweep());
    await this.children.sweep();
    for (;;) {
      const reaped = await this.repository.reap(BATCH);
      for (const run of reaped) {
        this.bus.publish(streamTopic(run.id));
        if (run.status === 'queued') {
          this.bus.publish(workTopic(run.organizationId));
        }
        if (run.status === 'canceled') {
          await this.children.followCanceled(run.organizationId, run.id);
        }
        this.log.info('run taken from its worker', {
          run_id: run.id,
          organization_id: run.organizationId,
          status: run.status,
        });
      }
      moved += reaped.length;
      if (reaped.length < BATCH || this.#stopped) {
        return moved;
      }
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#sweeping = this.sweep()
        .then(
          () => undefined,
          (error: unknown) => this.log.warn('lease sweep failed; it runs again', { error }),
        )
        .finally(() => {
          if (!this.#stopped) {
            this.#schedule();
          }
        });
    }, INTERVAL_MS);
  }
}
