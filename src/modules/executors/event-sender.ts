/**
 * Sends what a run emits: gathered for a moment so that a lively agent costs few commits, in order, one batch at a time. Each batch
 * has an id of its own, so that one whose answer was lost can be sent again.
 */
import type { WorkerEvent } from '../runs/index.js';

/** Events wait this long for company. */
const GATHER_MS = 25;
const MAX_BATCH = 200;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Batches under way beyond which `room` waits: what an agent may be ahead of the database. */
const MAX_BATCHES_AHEAD = 3;

export class EventSender {
  #gathered: WorkerEvent[] = [];
  #gatheredBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> = Promise.resolve();
  #ahead = 0;
  #batch = 0;

  constructor(
    private readonly append: (events: WorkerEvent[], batchId: string) => Promise<void>,
    /** Told once, of the first batch that could not be sent. */
    private readonly onFailure: (error: unknown) => void,
  ) {}

  add(event: WorkerEvent): void {
    this.#gathered.push(event);
    this.#gatheredBytes += Buffer.byteLength(JSON.stringify(event.data));
    // A call that may have to be approved ends its batch: what comes after it belongs to whoever goes on then.
    const mayPark = event.type === 'tool_call' && event.data.requires_approval === true;
    if (mayPark || this.#gathered.length >= MAX_BATCH || this.#gatheredBytes >= MAX_BATCH_BYTES) {
      this.#send();
    } else {
      this.#timer ??= setTimeout(() => this.#send(), GATHER_MS);
    }
  }

  async room(): Promise<void> {
    while (this.#ahead > MAX_BATCHES_AHEAD) {
      await this.#sending;
    }
  }

  /** Resolves when all is sent. @throws what a batch failed with */
  async flush(): Promise<void> {
    this.#send();
    await this.#sending;
  }

  /** Resolves when nothing is under way any more; what was only gathered is let go. */
  async settle(): Promise<void> {
    this.#clearTimer();
    this.#gathered = [];
    await this.#sending.catch(() => undefined);
  }

  #send(): void {
    this.#clearTimer();
    const events = this.#gathered;
    if (events.length === 0) {
      return;
    }
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#batch += 1;
    this.#ahead += 1;
    const batchId = `b${this.#batch}`;
    this.#sending = this.#sending
      .then(() => this.append(events, batchId))
      .finally(() => {
        this.#ahead -= 1;
      });
    // Whoever flushes sees the failure; until then it must not count as unhandled.
    this.#sending.catch(this.onFailure);
  }

  #clearTimer(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }
}
