import { setImmediate } from 'node:timers/promises';

/**
 * Cuts long work on the main thread into slices, so that a digest of a hostile text never holds up the requests and heartbeats
 * of the process it runs in. Every loop whose length the input decides asks `isOver()` and, when told so, awaits `next()`.
 */
export class TimeSlices {
  private startedAtMs = performance.now();

  constructor(
    private readonly signal: AbortSignal,
    private readonly sliceMs = 10,
  ) {}

  /** True once the present slice has lasted its time. Cheap enough to ask for every sentence, not for every character. */
  isOver(): boolean {
    return performance.now() - this.startedAtMs >= this.sliceMs;
  }

  /** Lets everything else that waits have its turn. Throws the signal's reason once it is aborted. */
  async next(): Promise<void> {
    this.signal.throwIfAborted();
    await setImmediate();
    this.signal.throwIfAborted();
    this.startedAtMs = performance.now();
  }
}
