/**
 * One sleeper, many that may wake it. A wake-up that comes while nobody sleeps is kept for the next sleep, so that a hint between
 * a read and the sleep after it is not lost. Holds at most one timer, and none while awake.
 */
export class Wakeups {
  #pending = false;
  #wake: (() => void) | null = null;

  /** Ends the sleep under way, or else the next one at once. Bound, so that it can be handed out as a listener. */
  readonly wake = (): void => {
    if (this.#wake === null) {
      this.#pending = true;
    } else {
      this.#wake();
    }
  };

  /** Resolves at the next wake-up, or after `timeoutMs`. */
  async sleep(timeoutMs: number): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    this.#pending = false;
  }
}
