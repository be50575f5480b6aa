/**
 * The process's idea of now, for deadlines that live and die in this process (caches, presigned links, back-off).
 * Nothing that the database decides (leases, due times, order) may use it: those are compared with database time.
 */
export abstract class Clock {
  /** Milliseconds since the Unix epoch. */
  abstract nowMs(): number;

  now(): Date {
    return new Date(this.nowMs());
  }
}

export class SystemClock extends Clock {
  nowMs(): number {
    return Date.now();
  }
}
