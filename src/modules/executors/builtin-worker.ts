/**
 * The worker inside this process: claims runs of builtin agents and works on them through the very path that workers take over
 * HTTP (`WorkerService`): leases, fences, batches and all. It has no privilege but that it acts as each organisation's system
 * principal, and that it may run agents of kind `builtin`.
 *
 * Fairness: each free slot goes to the next organisation with due work, in turn, so that one with a thousand runs does not keep
 * another's single run waiting for a thousand.
 *
 * A stop lets nothing hang: claiming ends, what runs is aborted and handed back to the queue without spending an attempt. A
 * process that is killed loses its leases, and the reaper hands the runs on.
 */
import { hostname } from 'node:os';
import { Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { ANY_WORK_TOPIC, EventBus } from '../../engines/event-bus/event-bus.js';
import { Log } from '../../kernel/log.js';
import { BuiltinExecution } from './builtin-execution.js';
import { type DueOrganization, ExecutorsRepository } from './executors.repository.js';
import { BuiltinExecutions } from './builtin-executions.js';

const LOOK_AGAIN_MS = 1_000;
/** Organisations looked up at a time. */
const ROUND = 100;

@Injectable()
export class BuiltinWorker implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #workerId = `builtin@${hostname()}`.slice(0, 200);
  #loop: Promise<void> = Promise.resolve();
  /** Where the last round ended, so that the next begins with whoever comes after. */
  #lastServed = '';

  constructor(
    private readonly config: AppConfig,
    private readonly repository: ExecutorsRepository,
    private readonly executions: BuiltinExecutions,
    private readonly bus: EventBus,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    if (this.config.role !== 'api') {
      this.#loop = this.#work();
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort(new Error('the process stops'));
    await this.#loop;
    await Promise.all(this.#running);
  }

  async #work(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const started = await this.#round().catch((error: unknown) => {
        this.log.warn('builtin worker could not look for work; it tries again', { error });
        return false;
      });
      if (!started) {
        await this.bus.wait(ANY_WORK_TOPIC, LOOK_AGAIN_MS, signal);
      }
    }
  }

  /** One run for each organisation in turn while there are free slots; false where nothing was started. */
  async #round(): Promise<boolean> {
    if (this.#running.size >= this.config.builtinConcurrency) {
      await Promise.race(this.#running);
    }
    const due = inTurn(await this.repository.dueOrganizations(ROUND), this.#lastServed);
    let started = false;
    for (const organization of due) {
      if (this.#stop.signal.aborted || this.#running.size >= this.config.builtinConcurrency) {
        break;
      }
      const execution = await this.executions.claim(organization, this.#workerId, this.#stop.signal);
      if (execution !== null) {
        this.#lastServed = organization.organizationId;
        this.#track(execution);
        started = true;
      }
    }
    return started;
  }

  #track(execution: BuiltinExecution): void {
    const running = execution
      .run()
      .catch((error: unknown) =>
        this.log.error('builtin run broke off; its lease will run out', { error, run_id: execution.runId }),
      )
      .finally(() => {
        this.#running.delete(running);
      });
    this.#running.add(running);
  }
}

function inTurn(due: readonly DueOrganization[], last: string): DueOrganization[] {
  return [...due.filter((item) => item.organizationId > last), ...due.filter((item) => item.organizationId <= last)];
}
