import { setTimeout as delay } from 'node:timers/promises';

export interface BackgroundJobOptions {
  /** One round; answers true where it left work, anything else where not. */
  round: () => Promise<unknown>;
  /** After a round, and after one that failed. */
  restMs: number;
  /** After a round that left work; `restMs` where absent. */
  breathMs?: number;
  /** Rests before the first round too: what is not urgent leaves a start to what is. */
  restsFirst?: boolean;
  /** Told of each round that failed; the next one tries again. */
  onFailure: (error: unknown) => void;
}

/**
 * Work that is done again and again beside the requests, never two rounds of it at once, until the process stops. What takes long within a
 * round looks at `signal`. Keeps no process from ending.
 */
export class BackgroundJob {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly options: BackgroundJobOptions) {}

  /** To be called once. */
  start(): void {
    this.#running = this.#run();
  }

  /** No round begins any more; resolves when the one under way is over. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  async #run(): Promise<void> {
    const { round, restMs, breathMs = restMs, restsFirst = false, onFailure } = this.options;
    const { signal } = this;
    if (restsFirst) {
      await this.#rest(restMs);
    }
    while (!signal.aborted) {
      let answer: unknown;
      try {
        answer = await round();
      } catch (error) {
        onFailure(error);
      }
      await this.#rest(answer === true ? breathMs : restMs);
    }
  }

  async #rest(restMs: number): Promise<void> {
    await delay(restMs, undefined, { signal: this.signal, ref: false }).catch(() => undefined);
  }
}
