/**
 * The worker inside this process: claims runs of the agents that this server runs itself (builtin, http, command) and works on them
 * through the very path that workers take over HTTP (`WorkerService`): leases, fences, batches and all. It has no privilege but that
 * it acts as each organisation's system principal, and that it may run agents of these kinds.
 *
 * Each kind has its own number of slots: a run that only waits for another server must not keep one that computes from starting.
 *
 * Fairness: each free slot of a kind goes to the next organisation with due work of it, in turn, so that one with a thousand runs
 * does not keep another's single run waiting for a thousand.
 *
 * A stop lets nothing hang: claiming ends, what runs is aborted and handed back to the queue without spending an attempt. A
 * process that is killed loses its leases, and the reaper hands the runs on.
 */
import { hostname } from 'node:os';
import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { ANY_WORK_TOPIC, EventBus } from '../../infrastructure/event-bus/event-bus.js';
import { Log } from '../../kernel/log.js';
import { EXECUTORS, type Executor } from './executor.js';
import { type DueOrganization, ExecutorsRepository } from './executors.repository.js';
import type { RunExecution } from './run-execution.js';
import { RunClaimer } from './run-claimer.js';

const POLL_INTERVAL_MS = 1_000;
/** Organisations looked up at a time. */
const ROUND = 100;

/** Whom nobody comes before. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/** The slots of one kind. */
interface WorkerSlot {
  readonly executor: Executor;
  readonly running: Set<Promise<void>>;
  /** Where the last round ended, so that the next begins with whoever comes after. */
  lastServed: string;
}

@Injectable()
export class InProcessWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  readonly #lanes: readonly WorkerSlot[];
  #loop: Promise<void> = Promise.resolve();

  constructor(
    private readonly config: AppConfig,
    private readonly repository: ExecutorsRepository,
    private readonly executions: RunClaimer,
    private readonly bus: EventBus,
    private readonly log: Log,
    @Inject(EXECUTORS) executors: readonly Executor[],
  ) {
    this.#lanes = executors.map((executor) => ({ executor, running: new Set(), lastServed: NOBODY }));
  }

  onApplicationBootstrap(): void {
    if (this.config.role !== 'api') {
      this.#loop = this.#work();
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort(new Error('the process stops'));
    await this.#loop;
    await Promise.all(this.#lanes.flatMap(({ running }) => [...running]));
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const started = await this.#round().catch((error: unknown) => {
        this.log.warn('the worker in this process could not look for work; it tries again', { error });
        return false;
      });
      if (!started) {
        await this.#hint();
      }
    }
  }

  /** One run for each organisation in turn while there are free slots; false where nothing was started. */
  async #round(): Promise<boolean> {
    const free = this.#lanes.filter((lane) => hasRoom(lane));
    const wanted = free.map(({ executor, lastServed }) => ({ kind: executor.kind, lastServed }));
    const due =
      wanted.length === 0
        ? []
        : await this.repository.dueOrganizations(ROUND, wanted, [...this.config.commands.keys()]);
    let started = false;
    for (const lane of free) {
      const ofKind = due.filter(({ kind }) => kind === lane.executor.kind);
      started = (await this.#fill(lane, ofKind)) || started;
    }
    return started;
  }

  async #fill(lane: WorkerSlot, due: readonly DueOrganization[]): Promise<boolean> {
    let started = false;
    for (const organization of due) {
      if (this.#stop.signal.aborted || !hasRoom(lane)) {
        break;
      }
      const workerId = `${lane.executor.kind}@${hostname()}`.slice(0, 200);
      const execution = await this.executions.claim(organization, lane.executor, workerId, this.#stop.signal);
      if (execution !== null) {
        lane.lastServed = organization.organizationId;
        this.#track(lane, execution);
        started = true;
      }
    }
    return started;
  }

  /** Until there may be work, or a slot that was taken is free. */
  async #hint(): Promise<void> {
    const full = this.#lanes.filter((lane) => !hasRoom(lane));
    const waiting = new AbortController();
    await Promise.race([
      this.bus.wait(ANY_WORK_TOPIC, POLL_INTERVAL_MS, AbortSignal.any([this.#stop.signal, waiting.signal])),
      ...full.flatMap(({ running }) => [...running]),
    ]);
    waiting.abort();
  }

  #track(lane: WorkerSlot, execution: RunExecution): void {
    const running = execution
      .run()
      .catch((error: unknown) =>
        this.log.error('a run of this process broke off; its lease will run out', { error, run_id: execution.runId }),
      )
      .finally(() => {
        lane.running.delete(running);
      });
    lane.running.add(running);
  }
}

function hasRoom({ executor, running }: WorkerSlot): boolean {
  return running.size < executor.concurrency;
}
