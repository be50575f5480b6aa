/**
 * One leased run in the hands of an executor: keeps the lease alive, sends what is emitted, and ends the run in the way that fits:
 * complete, fail, canceled (asked for), release (the process stops), or not at all (lease lost).
 */
import { Readable } from 'node:stream';
import { type Actor, writeScope } from '../../access/index.js';
import type { EventBus } from '../../infrastructure/event-bus/event-bus.js';
import { DomainError } from '../../kernel/errors.js';
import type { Log } from '../../kernel/log.js';
import type { AgentForExecution } from '../agents/index.js';
import type { AssetsService } from '../assets/index.js';
import type { ClaimedWork, WorkerTextRedactor, WorkerEvent, WorkerService } from '../runs/index.js';
import { EventSender } from './event-sender.js';
import { type Executor, type LeasedRun, type AgentFile, RunFailure, type RunResult } from './executor.js';
import { ExecutionAborted } from './execution-aborted.js';
import { LeaseHeartbeat } from './lease-heartbeat.js';

interface ExecutionInput {
  actor: Actor;
  work: ClaimedWork;
  agent: AgentForExecution;
  executor: Executor;
  stop: AbortSignal;
  workers: WorkerService;
  said: WorkerTextRedactor;
  assets: AssetsService;
  bus: EventBus;
  log: Log;
}

export class RunExecution implements LeasedRun {
  readonly #input: ExecutionInput;
  readonly #interrupt = new AbortController();
  readonly #sender: EventSender;

  constructor(input: ExecutionInput) {
    this.#input = input;
    this.#sender = new EventSender(
      (events, batchId) => this.#append(events, batchId),
      (error) => this.#interruptWith(error),
    );
  }

  get runId(): string {
    return this.#input.work.run.id;
  }

  get organizationId(): string {
    return this.#input.actor.organizationId;
  }

  get kind(): Executor['kind'] {
    return this.#input.executor.kind;
  }

  get work(): ClaimedWork {
    return this.#input.work;
  }

  get signal(): AbortSignal {
    return this.#interrupt.signal;
  }

  emit(event: WorkerEvent): void {
    this.signal.throwIfAborted();
    this.#sender.add(event);
  }

  async room(): Promise<void> {
    await this.#sender.room();
    this.signal.throwIfAborted();
  }

  async keep(file: AgentFile): Promise<string> {
    const { actor, work, workers, said, assets } = this.#input;
    const scope = writeScope(actor, 'worker:act');
    await this.#flush();
    const { name, contentType, metadata } = await said.file(scope, this.runId, work.lease.fence, file);
    const kept = await assets.addFromRun(
      scope,
      {
        taskId: work.task.id,
        runId: this.runId,
        name,
        type: file.type,
        contentType,
        bytes: file.bytes instanceof Uint8Array ? Readable.from([file.bytes]) : file.bytes,
        metadata,
        signal: this.signal,
      },
      (tx, row) => workers.appendAsset(tx, scope, this.runId, work.lease.fence, row),
    );
    return kept.id;
  }

  /** Works the run to its end; rejects only where even telling the end failed, and then the lease runs out by itself. */
  async run(): Promise<void> {
    const { stop, work, actor, workers, bus, log } = this.#input;
    const stopping = (): void => this.#interruptWith(new ExecutionAborted('stopping'));
    stop.addEventListener('abort', stopping, { once: true });
    if (stop.aborted) {
      stopping();
    }
    const keeper = new LeaseHeartbeat({
      runId: this.runId,
      leaseSeconds: work.lease.expires_in_seconds,
      heartbeat: () => workers.heartbeat(actor, this.runId, work.lease.fence),
      interrupt: (reason) => this.#interruptWith(reason),
      bus,
      log,
    });
    try {
      await this.#work();
    } catch (error) {
      // The server's clock may end a run, as timed out say, in the very moment in which its end is told here: nothing broke.
      if (!isLost(error)) {
        throw error;
      }
      log.info('a run of this process has no lease any more', { run_id: this.runId });
    } finally {
      keeper.stop();
      stop.removeEventListener('abort', stopping);
      await this.#sender.settle();
    }
  }

  async #work(): Promise<void> {
    const { agent, executor, actor, workers, work } = this.#input;
    const { fence } = work.lease;
    let result: RunResult;
    try {
      this.signal.throwIfAborted();
      result = await executor.execute(this, agent);
      await this.#flush();
    } catch (error) {
      await this.#endAfter(this.signal.aborted ? this.signal.reason : error);
      return;
    }
    try {
      const { output, costInCents } = result;
      const cost = costInCents === undefined ? {} : { cost_in_cents: costInCents };
      await workers.complete(actor, this.runId, { fence, output, ...cost });
    } catch (error) {
      await this.#endAfter(error);
    }
  }

  async #endAfter(reason: unknown): Promise<void> {
    const { actor, workers, work, log } = this.#input;
    const { fence } = work.lease;
    if (isLost(reason)) {
      log.info('a run of this process has no lease any more', { run_id: this.runId });
    } else if (!(reason instanceof ExecutionAborted)) {
      const failure = asFailure(reason);
      if (failure === null) {
        log.error('an agent in this process failed', { error: reason, run_id: this.runId, kind: this.kind });
      }
      await this.#sender.flush().catch(() => undefined);
      await workers.fail(actor, this.runId, {
        fence,
        error: describe(failure),
        ...(failure?.mayRetry === false ? { retry: false } : {}),
      });
    } else if (reason.why === 'canceled') {
      await this.#sender.settle();
      await workers.canceled(actor, this.runId, fence);
    } else {
      await this.#sender.settle();
      await workers.release(actor, this.runId, fence);
    }
  }

  #interruptWith(reason: unknown): void {
    if (!this.signal.aborted) {
      this.#interrupt.abort(reason);
    }
  }

  async #append(events: WorkerEvent[], batchId: string): Promise<void> {
    const { actor, workers, work } = this.#input;
    const { cancel_requested: cancel, waiting } = await workers.append(actor, this.runId, {
      fence: work.lease.fence,
      events,
      batch_id: batchId,
    });
    if (waiting === true) {
      this.#interruptWith(new ExecutionAborted('parked'));
    } else if (cancel) {
      this.#interruptWith(new ExecutionAborted('canceled'));
    }
  }

  async #flush(): Promise<void> {
    await this.#sender.flush();
    this.signal.throwIfAborted();
  }
}

function isLost(reason: unknown): boolean {
  return reason instanceof ExecutionAborted
    ? reason.why === 'lease-lost' || reason.why === 'parked'
    : reason instanceof DomainError && reason.code === 'lease-lost';
}

/** What a person may be told of it; null for a fault of ours. */
function asFailure(reason: unknown): RunFailure | null {
  if (reason instanceof RunFailure) {
    return reason;
  }
  if (reason instanceof DomainError && reason.code === 'limit-reached') {
    // No room for its files, say: for its organisation to hear of, and no better a moment later.
    return new RunFailure('LimitReached', reason.message, false);
  }
  // What the agent sent was refused by the very rules that hold for workers over HTTP.
  return reason instanceof DomainError && reason.fault === 'caller'
    ? new RunFailure('InvalidEvents', reason.message, false)
    : null;
}

function describe(failure: RunFailure | null): { message: string; name: string; stack_trace: string | null } {
  return failure === null
    ? // What went wrong inside is for the log; a person gets a sentence.
      { name: 'InternalError', message: 'The agent failed inside the server; its log says why.', stack_trace: null }
    : { name: failure.name, message: failure.message, stack_trace: failure.stackTrace };
}
