import { Clock } from '../../src/kernel/clock.js';

/** The real time, moved by as much as a test says. */
export class TestClock extends Clock {
  #offsetMs = 0;

  nowMs(): number {
    return Date.now() + this.#offsetMs;
  }

  advance(ms: number): void {
    this.#offsetMs += ms;
  }
}
