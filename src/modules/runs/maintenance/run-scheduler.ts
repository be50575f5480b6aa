/** One round of what time does to runs, called by the reaper on its pace; `RunTransitionsRepository` says what each part is. */
import { Injectable } from '@nestjs/common';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import type { RescuedRun } from './lease-rescuer.repository.js';
import { WorkerHeartbeatsRepository } from '../worker/worker-heartbeats.repository.js';
import { FIRST_KEY, FIRST_KEYED, RunTransitionsRepository } from './run-transitions.repository.js';

/** Rows a statement. */
const BATCH = 200;
/** Runs and keys looked at each round, most of which are as they should be. */
const LOOKED_AT = 1_000;
/** Rounds between two of what only keeps tables small. */
const TIDY_EVERY = 60;

@Injectable()
export class RunScheduler {
  #keyed = FIRST_KEYED;
  #keys = FIRST_KEY;
  #round = 0;

  constructor(
    private readonly repository: RunTransitionsRepository,
    private readonly sightings: WorkerHeartbeatsRepository,
    private readonly bus: EventBus,
  ) {}

  /** How many runs changed their state. */
  async sweep(): Promise<number> {
    let moved = 0;
    for (const step of [() => this.repository.expire(BATCH), () => this.repository.endDelays(BATCH)]) {
      for (let batch = await step(); batch.length > 0; batch = await step()) {
        this.#notify(batch);
        moved += batch.length;
        if (batch.length < BATCH) {
          break;
        }
      }
    }
    this.#keyed = await this.repository.park(this.#keyed, LOOKED_AT);
    const { next, organizationIds } = await this.repository.promote(this.#keys, LOOKED_AT);
    this.#keys = next;
    organizationIds.forEach((organizationId) => this.#wakeUp(organizationId));
    await this.repository.reconcileSlots(BATCH);
    if (this.#round % TIDY_EVERY === 0) {
      await this.repository.dropIdleKeys(LOOKED_AT);
      await this.sightings.sweep(LOOKED_AT);
    }
    this.#round += 1;
    return moved;
  }

  #notify(runs: readonly RescuedRun[]): void {
    for (const run of runs) {
      this.bus.publish(streamTopic(run.id));
      if (run.status === 'queued') {
        this.#wakeUp(run.organizationId);
      }
    }
  }

  #wakeUp(organizationId: string): void {
    this.bus.publish(workTopic(organizationId));
  }
}
