/**
 * Keeps the lease of one run, and hears of what ends it. It beats at a third of the lease, and whenever a hint says that something
 * was appended to the run's log (a cancel is told that way), at most once a second. Where no beat gets through for as long as the
 * lease lasts, it counts as lost: this process's monotonic clock decides that, a little before the database would.
 */
import { type EventBus, streamTopic } from '../../infrastructure/event-bus/event-bus.js';
import { DomainError } from '../../kernel/errors.js';
import type { Log } from '../../kernel/log.js';
import { ExecutionAborted } from './execution-aborted.js';

const MIN_INTERVAL_MS = 1_000;
/** Of the lease, after which nothing is written any more. */
const TRUSTED_PART = 0.95;

interface LeaseHeartbeatInput {
  runId: string;
  leaseSeconds: number;
  heartbeat: () => Promise<{ cancel_requested: boolean }>;
  interrupt: (reason: ExecutionAborted) => void;
  bus: EventBus;
  log: Log;
}

export class LeaseHeartbeat {
  readonly #input: LeaseHeartbeatInput;
  readonly #beating: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #hinted: NodeJS.Timeout | null = null;
  #expiry: NodeJS.Timeout;
  #isBeating = false;
  #isStopped = false;

  constructor(input: LeaseHeartbeatInput) {
    this.#input = input;
    this.#beating = setInterval(() => this.#startBeat(), (input.leaseSeconds * 1000) / 3);
    this.#expiry = this.#expireAfter(0);
    this.#unsubscribe = input.bus.subscribe(streamTopic(input.runId), () => {
      this.#hinted ??= setTimeout(() => {
        this.#hinted = null;
        this.#startBeat();
      }, MIN_INTERVAL_MS);
    });
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#beating);
    clearTimeout(this.#expiry);
    this.#unsubscribe();
    if (this.#hinted !== null) {
      clearTimeout(this.#hinted);
    }
  }

  #startBeat(): void {
    if (!this.#isBeating) {
      this.#isBeating = true;
      void this.#send().finally(() => {
        this.#isBeating = false;
      });
    }
  }

  async #send(): Promise<void> {
    const { heartbeat, interrupt, log, runId } = this.#input;
    const sentAt = performance.now();
    try {
      const { cancel_requested: cancel } = await heartbeat();
      if (this.#isStopped) {
        return;
      }
      clearTimeout(this.#expiry);
      this.#expiry = this.#expireAfter(performance.now() - sentAt);
      if (cancel) {
        interrupt(new ExecutionAborted('canceled'));
      }
    } catch (error) {
      if (error instanceof DomainError && error.code === 'lease-lost') {
        interrupt(new ExecutionAborted('lease-lost'));
      } else {
        log.warn('heartbeat failed; the next may do', { error, run_id: runId });
      }
    }
  }

  /** @param elapsedMs since the lease began at the earliest */
  #expireAfter(elapsedMs: number): NodeJS.Timeout {
    const { leaseSeconds, interrupt } = this.#input;
    const leftMs = leaseSeconds * 1000 * TRUSTED_PART - elapsedMs;
    return setTimeout(() => interrupt(new ExecutionAborted('lease-lost')), Math.max(0, leftMs));
  }
}
