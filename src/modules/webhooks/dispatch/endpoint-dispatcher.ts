/**
 * Sends what is due in one lane while its lease is held: a few requests at once. A place is given to another message as soon as the
 * outcome of the last one is on its way to the database, which writes down what it was handed whether or not the process still lives. So
 * what a killed dispatcher may have sent without anybody knowing, and is sent again, is those few. Outcomes that come together are
 * written down together.
 *
 * More requests at once only help with a receiver that takes its time. One that answers quickly gets fewer: with it, more at once would
 * be more to send again, and no more in a second.
 *
 * A lane that failed is felt for with one request at a time; after some failures in a row, or where the receiver asks for it, it is left
 * alone for a while. Nothing that waits in it spends an attempt meanwhile.
 */
import { randomInt } from 'node:crypto';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import type { AuditTrail } from '../../../infrastructure/audit-trail/audit-trail.js';
import type { Log } from '../../../kernel/log.js';
import type { Attempted, DeliveryAttempt } from './delivery-attempt.js';
import type {
  AttemptResult,
  DispatchRepository,
  DueDelivery,
  DueEndpointQueue,
  LeasedEndpointQueue,
} from './dispatch.repository.js';
import { pauseSeconds, secondsToNextAttempt } from './retry-schedule.js';

export interface EndpointDispatcherParts {
  repository: DispatchRepository;
  attempts: DeliveryAttempt;
  trail: AuditTrail;
  log: Log;
  secrets: readonly Buffer[];
  /** No new request from here on. */
  stop: AbortSignal;
  /** Requests under way end, too. */
  abort: AbortSignal;
}

/** Requests at once to a receiver that answers well, and to one that also answers quickly. */
const MAX_CONCURRENCY = 8;
const MAX_CONCURRENCY_FAST = 4;
/** Quick is whoever did not need longer for the quickest of so many last answers; the others may have waited for us. */
const QUICK_MS = 20;
const ANSWERS_LOOKED_AT = 16;
/** Read at a time; about as many go to a quick receiver while the next are read. */
const READ_AT_ONCE = 32;
const READ_AT_ONCE_QUICK = 128;
/** The lease is longer by far; to write the lane with every outcome would cost as much as the outcomes. */
const RENEW_INTERVAL_MS = 3_000;
const RANDOM_STEPS = 2 ** 32;
/** A turn; other lanes may be waiting for the place. */
const TURN_MS = 20_000;
/** The receiver wants no more, ever. */
const GONE = 410;
/** Without an answer the lane's turn is over: the next message would wait as long. */
const UNANSWERED: ReadonlySet<string | null> = new Set(['unreachable', 'timed-out', 'broken']);

export class EndpointDispatcher {
  readonly #began = performance.now();
  /** Read and not yet sent, longest due first. */
  readonly #waiting: DueDelivery[] = [];
  /** Sent, and not yet known to be written down. */
  readonly #open = new Set<string>();
  /** Of those, the ones whose outcome is not yet on its way to the database. */
  #places = 0;
  #finished: AttemptResult[] = [];
  #answersMs: number[] = [];
  #isReading = false;
  #isRecording = false;
  #renewedAtMs = performance.now();
  #hasMore = true;
  #isOver = false;
  #isEnding = false;
  #failures: number;
  #hasSucceeded: boolean;
  /** What the database knows of it. */
  #told: { failures: number; hasSucceeded: boolean };
  #pauseSeconds = 0;
  #isToldReachable: boolean;
  #isToldSucceeding = false;
  #failed: unknown = null;
  #done: () => void = () => undefined;

  constructor(
    private readonly scope: WriteScope,
    private readonly lane: LeasedEndpointQueue,
    private readonly found: DueEndpointQueue,
    private readonly parts: EndpointDispatcherParts,
  ) {
    this.#failures = lane.failures;
    this.#hasSucceeded = lane.hasSucceeded;
    this.#told = { failures: lane.failures, hasSucceeded: lane.hasSucceeded };
    this.#isToldReachable = !found.isDoubtful;
  }

  /** Resolves when the lane has been given back; rejects where the database failed, and the lease runs out by itself. */
  async run(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    this.#turn();
    await ended;
    if (this.#failed !== null) {
      throw this.#failed instanceof Error ? this.#failed : new Error('a lane failed', { cause: this.#failed });
    }
  }

  /** Starts whatever may be started now; called whenever something ended. */
  #turn(): void {
    if (this.parts.stop.aborted || performance.now() - this.#began > TURN_MS) {
      this.#isOver = true;
    }
    if (!this.#isOver && !this.#isReading && this.#hasMore && this.#waiting.length < this.#readAtOnce / 4) {
      this.#isReading = true;
      this.#follow(this.#read(), () => (this.#isReading = false));
    }
    while (!this.#isOver && this.#places < this.#width) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        break;
      }
      this.#open.add(next.id);
      this.#places += 1;
      this.#follow(this.#send(next), () => undefined);
    }
    if (!this.#isRecording && this.#finished.length > 0) {
      this.#isRecording = true;
      this.#follow(this.#record(), () => (this.#isRecording = false));
      // Its places are free by now.
      this.#turn();
      return;
    }
    const isIdle = !this.#isEnding && !this.#isReading && !this.#isRecording && this.#open.size === 0;
    if (isIdle && (this.#isOver || this.#waiting.length === 0)) {
      this.#isEnding = true;
      this.#giveBack()
        .catch((error: unknown) => {
          this.#failed ??= error;
        })
        .finally(() => this.#done());
    }
  }

  #follow(work: Promise<void>, after: () => void): void {
    work
      .catch((error: unknown) => {
        this.#failed ??= error;
        this.#isOver = true;
      })
      .finally(() => {
        after();
        this.#turn();
      });
  }

  async #read(): Promise<void> {
    const known = [...this.#open, ...this.#waiting.map(({ id }) => id)];
    const due = await this.parts.repository.read(this.scope, this.lane.laneId, this.#readAtOnce, known);
    this.#waiting.push(...due);
    // Fewer than asked for may be for their size; none is none.
    this.#hasMore = due.length > 0;
  }

  async #send(delivery: DueDelivery): Promise<void> {
    const { attempts, secrets, abort } = this.parts;
    let attempted: Attempted;
    try {
      attempted = await attempts.make(this.scope, this.lane.laneId, delivery, secrets, abort);
    } catch (error) {
      this.#open.delete(delivery.id);
      this.#places -= 1;
      if (abort.aborted) {
        return;
      }
      throw error;
    }
    this.#judge(attempted);
    this.#finished.push(resultOf(delivery, attempted));
    await this.#tell(delivery, attempted);
  }

  /** What the outcome says about the lane. */
  #judge({ error, statusCode, retryAfterSeconds, durationMs, isHostFailure }: Attempted): void {
    if (error === null) {
      this.#answersMs = [...this.#answersMs.slice(1 - ANSWERS_LOOKED_AT), durationMs];
      this.#failures = 0;
      this.#hasSucceeded = true;
      return;
    }
    if (this.found.isCallback && !isHostFailure && retryAfterSeconds === null) {
      // Callbacks of an origin share a lane, and this one's address is its task's alone: the others are not held up for it.
      return;
    }
    this.#failures += 1;
    this.#pauseSeconds = Math.max(this.#pauseSeconds, pauseSeconds(this.#failures), retryAfterSeconds ?? 0);
    if (this.#pauseSeconds > 0 || UNANSWERED.has(error) || statusCode === GONE) {
      this.#isOver = true;
    }
  }

  /** What it says about the host and the endpoint; told when it changes, not with every delivery. */
  async #tell({ isEndpoint }: DueDelivery, { error, statusCode, isHostFailure }: Attempted): Promise<void> {
    const { repository, log } = this.parts;
    const { origin } = this.found;
    const isReachable = !isHostFailure;
    if (origin !== null && (!isReachable || !this.#isToldReachable)) {
      this.#isToldReachable = isReachable;
      await repository.tellHost(this.scope, origin, isReachable, pauseSeconds);
    }
    if (!isEndpoint || (error === null && this.#isToldSucceeding)) {
      return;
    }
    this.#isToldSucceeding = error === null;
    const how = error === null ? 'succeeded' : statusCode === GONE ? 'gone' : 'failed';
    const reason = how === 'gone' ? 'it answered 410' : 'it failed for five days';
    const record = (tx: Tx): Promise<void> =>
      this.parts.trail.record(tx, this.scope, [
        { action: 'webhook.disable', objectKind: 'webhook', objectId: this.lane.laneId, reason },
      ]);
    if (await repository.tellEndpoint(this.scope, this.lane.laneId, how, record)) {
      log.warn('a webhook endpoint was turned off', {
        organization_id: this.lane.organizationId,
        webhook_id: this.lane.laneId,
        reason,
      });
    }
  }

  async #record(): Promise<void> {
    const results = this.#finished;
    this.#finished = [];
    this.#places -= results.length;
    const isHeld = await this.#write(results, false).finally(() => {
      for (const { id } of results) {
        this.#open.delete(id);
      }
    });
    if (!isHeld) {
      // Somebody else sends by now; what is under way here will not be written down.
      this.#isOver = true;
      this.#waiting.length = 0;
    }
  }

  async #giveBack(): Promise<void> {
    await this.#write([], true);
  }

  /** Says how the lane stands where that is new, or the lease is to be renewed. */
  #write(results: readonly AttemptResult[], release: boolean): Promise<boolean> {
    const { repository } = this.parts;
    if (!release && !this.#hasNews) {
      return repository.record(this.scope, this.lane, results, null, false);
    }
    const standing = {
      failures: this.#failures,
      hasSucceeded: this.#hasSucceeded,
      pauseSeconds: this.#pauseSeconds,
    };
    // Said with the outcome that asks for it, and not again with the next.
    this.#pauseSeconds = 0;
    this.#told = standing;
    this.#renewedAtMs = performance.now();
    return repository.record(this.scope, this.lane, results, standing, release);
  }

  get #hasNews(): boolean {
    return (
      this.#pauseSeconds > 0 ||
      this.#told.failures !== this.#failures ||
      this.#told.hasSucceeded !== this.#hasSucceeded ||
      performance.now() - this.#renewedAtMs > RENEW_INTERVAL_MS
    );
  }

  get #isQuick(): boolean {
    return Math.min(...this.#answersMs) < QUICK_MS;
  }

  get #readAtOnce(): number {
    return this.#isQuick ? READ_AT_ONCE_QUICK : READ_AT_ONCE;
  }

  get #width(): number {
    if (this.#failures > 0 || !this.#hasSucceeded) {
      return 1;
    }
    return this.#isQuick || this.#answersMs.length === 0 ? MAX_CONCURRENCY_FAST : MAX_CONCURRENCY;
  }
}

function resultOf(delivery: DueDelivery, attempted: Attempted): AttemptResult {
  const isFinal = attempted.statusCode === GONE;
  return {
    id: delivery.id,
    attempt: delivery.attempt,
    is_delivered: attempted.error === null,
    status_code: attempted.statusCode,
    error: attempted.error,
    duration_ms: attempted.durationMs,
    retry_seconds:
      attempted.error === null || isFinal
        ? null
        : secondsToNextAttempt(
            delivery.attempt + 1,
            attempted.retryAfterSeconds,
            randomInt(RANDOM_STEPS) / RANDOM_STEPS,
          ),
  };
}
