import type { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { BEFORE_ALL, type Turn } from './asset-jobs.repository.js';
import { ASSET_WORK_TOPIC } from '../uploads/asset-parts.js';

const POLL_INTERVAL_MS = 2_000;

export interface DispatchLimits {
  /** Jobs at once in this process. */
  slots: number;
  /** Of these, jobs of one organization. */
  perOrganization: number;
}

export interface DispatchedWork<Job> {
  /** The next job of the organization whose turn it is; null where there is none now. Never rejects. */
  take: (turn: Turn) => Promise<Job | null>;
  /** Never rejects. */
  work: (job: Job) => Promise<void>;
}

/** Runs jobs of one kind, some at once: organizations take turns, and each has a limit of its own below the limit of all. */
export class AssetJobDispatcher<Job extends { organizationId: string }> {
  readonly #jobs = new Set<Promise<void>>();
  readonly #atWork = new Map<string, number>();
  #last = BEFORE_ALL;
  #wake = new AbortController();

  constructor(
    private readonly bus: Pick<EventBus, 'wait'>,
    private readonly limits: DispatchLimits,
    private readonly dispatched: DispatchedWork<Job>,
  ) {}

  /** Resolves once the signal has aborted and the jobs under way have ended. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wakeUp(), { once: true });
    while (!signal.aborted) {
      // Taken before the look at the queue, so that a job that ends meanwhile is not missed.
      const wake = this.#wake.signal;
      const job = this.#jobs.size < this.limits.slots ? await this.dispatched.take(this.#turn()) : null;
      if (job === null) {
        await this.bus.wait(ASSET_WORK_TOPIC, POLL_INTERVAL_MS, wake);
      } else {
        this.#start(job);
      }
    }
    await Promise.all(this.#jobs);
  }

  #turn(): Turn {
    const full = [...this.#atWork].filter(([, count]) => count >= this.limits.perOrganization);
    return { after: this.#last, except: full.map(([organizationId]) => organizationId) };
  }

  #start(job: Job): void {
    const { organizationId } = job;
    this.#last = organizationId;
    this.#atWork.set(organizationId, (this.#atWork.get(organizationId) ?? 0) + 1);
    const done = this.dispatched.work(job).finally(() => {
      this.#jobs.delete(done);
      const left = (this.#atWork.get(organizationId) ?? 1) - 1;
      if (left === 0) {
        this.#atWork.delete(organizationId);
      } else {
        this.#atWork.set(organizationId, left);
      }
      this.#wakeUp();
    });
    this.#jobs.add(done);
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = new AbortController();
    wake.abort();
  }
}
