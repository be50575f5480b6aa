import type { Clock } from '../../../kernel/clock.js';

/** What a host must send at least for each window of waiting for it: some 2 KiB a second. */
export const MIN_FETCH_BYTES = 64 * 1024;
export const FETCH_WINDOW_MS = 30_000;
const POLL_INTERVAL_MS = 500;

/** The host sends too little for the fetch to go on. Trying again would hold a lane as long once more. */
export class FetchTooSlow extends Error {
  override readonly name = 'FetchTooSlow';

  constructor() {
    super(
      `The address sent less than ${MIN_FETCH_BYTES} bytes in ${FETCH_WINDOW_MS / 1000} seconds, and the fetch was given up.`,
    );
  }
}

/**
 * Holds one fetch to a minimum rate, from its first request on: a host that drips bytes, or sends none, does not keep a lane. Only the time
 * spent waiting for the host counts, not the time that the storage takes for what has come.
 */
export class FetchRate {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #onStop = (): void => this.#controller.abort(this.stop.reason);
  /** Null while nothing is expected of the host. */
  #waitingSince: number | null;
  #waitedMs = 0;
  #bytes = 0;

  constructor(
    private readonly clock: Clock,
    private readonly stop: AbortSignal,
  ) {
    this.#waitingSince = clock.nowMs();
    this.#timer = setInterval(() => this.#look(), POLL_INTERVAL_MS).unref();
    stop.addEventListener('abort', this.#onStop, { once: true });
    if (stop.aborted) {
      this.#onStop();
    }
  }

  /** Aborts with `FetchTooSlow`, or with the reason of the signal given. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The bytes of the reply, as they come. */
  async *of(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    this.#waitingSince ??= this.clock.nowMs();
    for await (const piece of body) {
      this.#count(piece.byteLength);
      this.#pause();
      yield piece;
      this.#waitingSince = this.clock.nowMs();
    }
    this.#pause();
  }

  /** Stops watching. */
  end(): void {
    clearInterval(this.#timer);
    this.stop.removeEventListener('abort', this.#onStop);
  }

  #look(): void {
    const waiting = this.#waitingSince === null ? 0 : this.clock.nowMs() - this.#waitingSince;
    if (this.#waitedMs + waiting > FETCH_WINDOW_MS) {
      this.#controller.abort(new FetchTooSlow());
    }
  }

  /** A window ends with enough bytes, however early. */
  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes >= MIN_FETCH_BYTES) {
      this.#bytes = 0;
      this.#waitedMs = 0;
      this.#waitingSince = this.clock.nowMs();
    }
  }

  #pause(): void {
    if (this.#waitingSince !== null) {
      this.#waitedMs += this.clock.nowMs() - this.#waitingSince;
      this.#waitingSince = null;
    }
  }
}
