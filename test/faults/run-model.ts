/**
 * What a run may become, stated a second time and on its own: the tests hold the engine against this, never against its own table.
 *
 * The model is one run, an agent with `max_attempts` 2 and no back-off, two workers with a key each, a person, and time. Each step
 * answers what the engine has to answer to the same step, in the same words.
 */
export const LEGAL: Readonly<Record<string, readonly string[]>> = {
  delayed: ['queued', 'canceled', 'expired'],
  queued: ['running', 'canceled', 'expired'],
  running: ['queued', 'waiting', 'completed', 'failed', 'timed_out', 'canceled'],
  waiting: ['queued', 'failed', 'canceled'],
};
const CANCELING = ['canceled', 'release'];
export const ENDS = ['completed', 'failed', 'timed_out', 'canceled', 'expired'];
export const MAX_ATTEMPTS = 2;

export const WORKER_STEPS = [
  'claim',
  'heartbeat',
  'append',
  'complete',
  'fail',
  'fail for good',
  'canceled',
  'release',
  'ask',
] as const;
export const OTHER_STEPS = ['cancel', 'force cancel', 'answer', 'lease runs out', 'time runs out', 'sweep'] as const;
export type WorkerStep = (typeof WORKER_STEPS)[number];
export type OtherStep = (typeof OTHER_STEPS)[number];
export type Worker = 'red' | 'blue';
export type Step = { by: Worker; what: WorkerStep } | { by: 'other'; what: OtherStep };

interface Lease {
  by: Worker;
}

export class RunModel {
  status = 'queued';
  readonly path = ['queued'];
  readonly attempts: string[] = [];
  readonly #last: Partial<Record<Worker, Lease>> = {};
  #holder: Lease | null = null;
  #isExpired = false;
  #isOverdue = false;
  #isWished = false;
  #isAttemptOpen = false;
  #release: { lease: Lease; kind: string; answer: string } | null = null;
  #claimedBy: Worker | null = null;

  perform(step: Step): string {
    return step.by === 'other' ? this.#other(step.what) : this.#work(step.by, step.what);
  }

  #work(by: Worker, what: WorkerStep): string {
    if (what === 'claim') {
      return this.#claim(by);
    }
    const lease = this.#last[by];
    if (lease === undefined) {
      return 'nothing claimed yet';
    }
    const kind = what === 'fail for good' ? 'fail' : what;
    if (this.#holder !== lease || this.status !== 'running' || this.#isExpired) {
      const isOwn = this.#release?.lease === lease && this.#claimedBy === by;
      // `canceled` and `release` mean the same of a run that ended as canceled.
      const isCanceledTwice = CANCELING.includes(kind) && this.#release?.answer === '200 canceled';
      return isOwn && (this.#release?.kind === kind || isCanceledTwice)
        ? (this.#release?.answer ?? '')
        : '409 lease-lost';
    }
    switch (what) {
      case 'heartbeat':
      case 'append':
        return `200 ${this.#isWished ? 'do stop' : 'go on'}`;
      case 'complete':
        return this.#end(lease, kind, 'completed');
      case 'fail for good':
        return this.#end(lease, kind, 'failed');
      case 'fail':
        return this.attempts.length < MAX_ATTEMPTS && !this.#isWished
          ? this.#giveUp(lease, kind, 'queued', 'failed')
          : this.#end(lease, kind, 'failed');
      case 'canceled':
        return this.#isWished ? this.#end(lease, kind, 'canceled') : '409 conflict';
      case 'ask':
        return this.#isWished ? '409 conflict' : this.#giveUp(lease, kind, 'waiting', null);
      case 'release':
        return this.#isWished ? this.#end(lease, kind, 'canceled') : this.#giveUp(lease, kind, 'queued', null);
    }
  }

  #other(what: OtherStep): string {
    switch (what) {
      case 'cancel':
      case 'force cancel':
        if (this.status === 'running' && what === 'cancel') {
          this.#isWished = true;
          return '202 running';
        }
        if (ENDS.includes(this.status)) {
          return this.status === 'canceled' ? '200 canceled' : '409 run-ended';
        }
        this.#move('canceled', 'canceled');
        return '200 canceled';
      case 'answer':
        if (this.status !== 'waiting') {
          return ENDS.includes(this.status) ? '409 run-ended' : '409 not-waiting';
        }
        this.#move('queued', null);
        return '200 queued';
      case 'lease runs out':
        this.#isExpired ||= this.status === 'running';
        return 'so it is';
      case 'time runs out':
        this.#isOverdue ||= this.status === 'running';
        return 'so it is';
      case 'sweep':
        return this.#sweep();
    }
  }

  #claim(by: Worker): string {
    if (this.status !== 'queued') {
      return 'nothing due';
    }
    if (!this.#isAttemptOpen) {
      this.attempts.push('running');
    }
    this.#holder = { by };
    this.#last[by] = this.#holder;
    this.#claimedBy = by;
    this.#isExpired = false;
    // An attempt that was handed back with its time used up gets no more of it.
    this.#isOverdue &&= this.#isAttemptOpen;
    this.#move('running', null);
    this.#isAttemptOpen = true;
    return 'claimed';
  }

  #sweep(): string {
    if (this.status === 'running' && (this.#isExpired || this.#isOverdue)) {
      if (this.#isWished) {
        this.#move('canceled', 'canceled');
      } else if (this.#isOverdue) {
        this.#move('timed_out', 'timed_out');
      } else {
        this.#move(this.attempts.length < MAX_ATTEMPTS ? 'queued' : 'failed', 'lost');
      }
    }
    return 'swept';
  }

  #end(lease: Lease, kind: string, status: string): string {
    return this.#giveUp(lease, kind, status, status);
  }

  #giveUp(lease: Lease, kind: string, status: string, attempt: string | null): string {
    this.#release = { lease, kind, answer: `200 ${status}` };
    this.#move(status, attempt);
    return this.#release.answer;
  }

  /** `attempt`: how the open attempt ended, where it did. */
  #move(status: string, attempt: string | null): void {
    this.status = status;
    this.path.push(status);
    if (attempt !== null && this.#isAttemptOpen) {
      this.attempts[this.attempts.length - 1] = attempt;
      this.#isAttemptOpen = false;
    }
  }
}
