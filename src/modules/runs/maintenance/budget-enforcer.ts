/**
 * Ends runs that must go on no longer whatever their workers do: those whose cost went over a budget that stops. Who decides so adds
 * a row to `run_stops`, in the transaction in which it is found out; this ends the run within a second or so, on any replica. The
 * worker learns of it as of any lost lease.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { EventBus, streamTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { Log } from '../../../kernel/log.js';
import { BackgroundJob } from '../../../kernel/concurrency/background-job.js';
import { BudgetEnforcerRepository } from './budget-enforcer.repository.js';

const BATCH = 200;
const INTERVAL_MS = 1_000;

@Injectable()
export class BudgetEnforcer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.sweep(),
    restMs: INTERVAL_MS,
    onFailure: (error) => this.log.warn('runs over budget could not be stopped; trying again', { error }),
  });

  constructor(
    private readonly repository: BudgetEnforcerRepository,
    private readonly bus: EventBus,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }

  /** Stops all that is to be stopped; answers how many runs that were. */
  async sweep(): Promise<number> {
    let stopped = 0;
    for (;;) {
      const runs = await this.repository.stop(BATCH);
      for (const run of runs) {
        this.bus.publish(streamTopic(run.id));
        this.log.info('run stopped by a budget', { run_id: run.id, organization_id: run.organizationId });
      }
      stopped += runs.length;
      if (runs.length < BATCH || this.#rounds.signal.aborted) {
        return stopped;
      }
    }
  }
}
