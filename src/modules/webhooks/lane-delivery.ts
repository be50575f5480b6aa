/**
 * Sends what is due in one lane while its lease is held: a few requests at once, each of whose outcomes is written down before its place
 * is given to another. So what a killed dispatcher may have sent without anybody knowing, and is sent again, is those few.
 *
 * A lane that failed is felt for with one request at a time; after some failures in a row, or where the receiver asks for it, it is left
 * alone for a while. Nothing that waits in it spends an attempt meanwhile.
 */
import { randomInt } from 'node:crypto';
import type { WriteScope } from '../../access/index.js';
import type { Tx } from '../../database/database.js';
import type { AuditTrail } from '../../engines/audit-trail/audit-trail.js';
import type { Log } from '../../kernel/log.js';
import type { Attempted, DeliveryAttempt } from './delivery-attempt.js';
import type { AttemptResult, DispatchRepository, DueDelivery, DueLane, LeasedLane } from './dispatch.repository.js';
import { pauseSeconds, secondsToNextAttempt } from './retry-schedule.js';

export interface LaneParts {
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

/** Requests at once to a receiver that answers well. */
const MOST_AT_ONCE = 8;
const RANDOM_STEPS = 2 ** 32;
/** A turn; other lanes may be waiting for the place. */
const TURN_MS = 20_000;
/** The receiver wants no more, ever. */
const GONE = 410;
/** What failed to connect would fail for the next one, too. */
const CONNECTION_FAILURES: ReadonlySet<string | null> = new Set(['unreachable', 'timed-out', 'broken']);

export class LaneDelivery {
  readonly #began = performance.now();
  /** Read and not yet sent, longest due first. */
  readonly #waiting: DueDelivery[] = [];
  /** Sent, and not yet written down. */
  readonly #open = new Set<string>();
  #finished: AttemptResult[] = [];
  #isReading = false;
  #isRecording = false;
  #hasMore = true;
  #isOver = false;
  #isEnding = false;
  #failures: number;
  #hasSucceeded: boolean;
  #pauseSeconds = 0;
  #isToldReachable: boolean;
  #isToldSucceeding = false;
  #failed: unknown = null;
  #done: () => void = () => undefined;

  constructor(
    private readonly scope: WriteScope,
    private readonly lane: LeasedLane,
    private readonly found: DueLane,
    private readonly parts: LaneParts,
  ) {
    this.#failures = lane.failures;
    this.#hasSucceeded = lane.hasSucceeded;
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
    if (!this.#isOver && !this.#isReading && this.#hasMore && this.#waiting.length < this.#width) {
      this.#isReading = true;
      this.#follow(this.#read(), () => (this.#isReading = false));
    }
    while (!this.#isOver && this.#open.size < this.#width) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        break;
      }
      this.#open.add(next.id);
      this.#follow(this.#send(next), () => undefined);
    }
    if (!this.#isRecording && this.#finished.length > 0) {
      this.#isRecording = true;
      this.#follow(this.#record(), () => (this.#isRecording = false));
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
    const most = this.#width * 4;
    const known = [...this.#open, ...this.#waiting.map(({ id }) => id)];
    const due = await this.parts.repository.read(this.scope, this.lane.laneId, most, known);
    this.#waiting.push(...due);
    // Fewer than asked for may be for their size; none is none.
    this.#hasMore = due.length > 0;
  }

  async #send(delivery: DueDelivery): Promise<void> {
    try {
      const { attempts, secrets, abort } = this.parts;
      const attempted = await attempts.make(this.scope, this.lane.laneId, delivery, secrets, abort);
      this.#judge(attempted);
      this.#finished.push(resultOf(delivery, attempted));
      await this.#tell(delivery, attempted);
    } catch (error) {
      this.#open.delete(delivery.id);
      if (!this.parts.abort.aborted) {
        throw error;
      }
    }
  }

  /** What the outcome says about the lane. */
  #judge({ error, statusCode, retryAfterSeconds }: Attempted): void {
    if (error === null) {
      this.#failures = 0;
      this.#hasSucceeded = true;
      return;
    }
    this.#failures += 1;
    this.#pauseSeconds = Math.max(this.#pauseSeconds, pauseSeconds(this.#failures), retryAfterSeconds ?? 0);
    if (this.#pauseSeconds > 0 || CONNECTION_FAILURES.has(error) || statusCode === GONE) {
      this.#isOver = true;
    }
  }

  /** What it says about the host and the endpoint; told when it changes, not with every delivery. */
  async #tell({ isEndpoint }: DueDelivery, { error, statusCode }: Attempted): Promise<void> {
    const { repository, log } = this.parts;
    const { origin } = this.found;
    const isReachable = !CONNECTION_FAILURES.has(error);
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
    const isHeld = await this.#write(results, false);
    for (const { id } of results) {
      this.#open.delete(id);
    }
    if (!isHeld) {
      // Somebody else sends by now; what is under way here will not be written down.
      this.#isOver = true;
      this.#waiting.length = 0;
    }
  }

  async #giveBack(): Promise<void> {
    await this.#write([], true);
  }

  #write(results: readonly AttemptResult[], release: boolean): Promise<boolean> {
    const standing = {
      failures: this.#failures,
      hasSucceeded: this.#hasSucceeded,
      pauseSeconds: this.#pauseSeconds,
    };
    // Said with the outcome that asks for it, and not again with the next.
    this.#pauseSeconds = 0;
    return this.parts.repository.record(this.scope, this.lane, results, standing, release);
  }

  get #width(): number {
    return this.#failures > 0 || !this.#hasSucceeded ? 1 : MOST_AT_ONCE;
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
