/**
 * One leased run in the hands of a builtin agent: keeps the lease alive, sends what the agent emits in gathered batches, and ends
 * the run in the way that fits: complete, fail, canceled (asked for), release (the process stops), or not at all (lease lost).
 */
import { type Actor, writeScope } from '../../access/index.js';
import { DomainError } from '../../kernel/errors.js';
import type { Log } from '../../kernel/log.js';
import type { AssetsService } from '../assets/index.js';
import type { ClaimedWork, WorkerEvent, WorkerService } from '../runs/index.js';
import { type BuiltinAgent, type BuiltinAsset, BuiltinFailure, type BuiltinRun } from './builtin/builtin-agent.js';

interface ExecutionInput {
  actor: Actor;
  work: ClaimedWork;
  /** Null where this version has no code for what the agent's config names. */
  agent: BuiltinAgent | null;
  stop: AbortSignal;
  workers: WorkerService;
  assets: AssetsService;
  log: Log;
}

/** Why an execution was told to stop; decides how it ends. */
class Interrupted extends Error {
  constructor(readonly why: 'canceled' | 'lease-lost' | 'stopping') {
    super(`interrupted: ${why}`);
  }
}

/** Events wait this long for company, so that a lively agent costs few commits. */
const GATHER_MS = 25;
const MOST_GATHERED = 200;
const MESSAGE_LIMIT_CHARACTERS = 8_000;

export class BuiltinExecution implements BuiltinRun {
  readonly #input: ExecutionInput;
  readonly #interrupt = new AbortController();
  #gathered: WorkerEvent[] = [];
  #flushTimer: NodeJS.Timeout | null = null;
  #sending: Promise<void> = Promise.resolve();
  #batch = 0;

  constructor(input: ExecutionInput) {
    this.#input = input;
  }

  get runId(): string {
    return this.#input.work.run.id;
  }

  get work(): ClaimedWork {
    return this.#input.work;
  }

  get signal(): AbortSignal {
    return this.#interrupt.signal;
  }

  emit(event: WorkerEvent): void {
    this.signal.throwIfAborted();
    this.#gathered.push(event);
    if (this.#gathered.length >= MOST_GATHERED) {
      this.#send();
    } else {
      this.#flushTimer ??= setTimeout(() => this.#send(), GATHER_MS);
    }
  }

  async keep(asset: BuiltinAsset): Promise<string> {
    const { actor, work, workers, assets } = this.#input;
    const scope = writeScope(actor, 'worker:act');
    await this.#flush();
    const kept = await assets.addFromRun(
      scope,
      {
        taskId: work.task.id,
        runId: this.runId,
        name: asset.name,
        type: asset.type,
        contentType: asset.contentType,
        bytes: once(asset.bytes),
        metadata: asset.metadata,
      },
      (tx, row) => workers.appendAsset(tx, scope, this.runId, work.lease.fence, row),
    );
    return kept.id;
  }

  /** Works the run to its end; rejects only where even telling the end failed, and then the lease runs out by itself. */
  async run(): Promise<void> {
    const { stop, work } = this.#input;
    const stopping = (): void => this.#interrupt.abort(new Interrupted('stopping'));
    stop.addEventListener('abort', stopping, { once: true });
    if (stop.aborted) {
      stopping();
    }
    const beat = setInterval(() => void this.#heartbeat(), (work.lease.expires_in_seconds * 1000) / 3);
    try {
      await this.#work();
    } finally {
      clearInterval(beat);
      stop.removeEventListener('abort', stopping);
      if (this.#flushTimer !== null) {
        clearTimeout(this.#flushTimer);
      }
    }
  }

  async #work(): Promise<void> {
    const { agent, actor, workers, work } = this.#input;
    const { fence } = work.lease;
    try {
      if (agent === null) {
        throw new BuiltinFailure('This version has no builtin agent of the name in the agent’s config.');
      }
      const output = await agent.execute(this);
      await this.#flush();
      await workers.complete(actor, this.runId, { fence, output });
    } catch (error) {
      const reason: unknown = this.signal.aborted ? this.signal.reason : error;
      await this.#endAfter(
        reason instanceof DomainError && reason.code === 'lease-lost' ? new Interrupted('lease-lost') : reason,
      );
    }
  }

  async #endAfter(reason: unknown): Promise<void> {
    const { actor, workers, work, log } = this.#input;
    const { fence } = work.lease;
    if (!(reason instanceof Interrupted)) {
      if (!(reason instanceof BuiltinFailure)) {
        log.error('builtin agent failed', { error: reason, run_id: this.runId });
      }
      await this.#flush().catch(() => undefined);
      await workers.fail(actor, this.runId, { fence, error: describe(reason) });
    } else if (reason.why === 'canceled') {
      await workers.canceled(actor, this.runId, fence);
    } else if (reason.why === 'stopping') {
      await this.#sending.catch(() => undefined);
      await workers.release(actor, this.runId, fence);
    } else {
      log.info('builtin run lost its lease', { run_id: this.runId });
    }
  }

  async #heartbeat(): Promise<void> {
    const { actor, workers, work, log } = this.#input;
    try {
      const { cancel_requested: cancel } = await workers.heartbeat(actor, this.runId, work.lease.fence);
      if (cancel) {
        this.#interrupt.abort(new Interrupted('canceled'));
      }
    } catch (error) {
      if (error instanceof DomainError && error.code === 'lease-lost') {
        this.#interrupt.abort(new Interrupted('lease-lost'));
      } else {
        log.warn('heartbeat failed; the next may do', { error, run_id: this.runId });
      }
    }
  }

  #send(): void {
    if (this.#flushTimer !== null) {
      clearTimeout(this.#flushTimer);
      this.#flushTimer = null;
    }
    const events = this.#gathered;
    if (events.length === 0) {
      return;
    }
    this.#gathered = [];
    this.#batch += 1;
    const batchId = `b${this.#batch}`;
    this.#sending = this.#sending.then(() => this.#append(events, batchId));
    // Whoever flushes sees the failure; until then it must not count as unhandled.
    this.#sending.catch((error: unknown) => {
      if (!this.signal.aborted) {
        this.#interrupt.abort(error);
      }
    });
  }

  async #append(events: WorkerEvent[], batchId: string): Promise<void> {
    const { actor, workers, work } = this.#input;
    const { cancel_requested: cancel } = await workers.append(actor, this.runId, {
      fence: work.lease.fence,
      events,
      batch_id: batchId,
    });
    if (cancel) {
      this.#interrupt.abort(new Interrupted('canceled'));
    }
  }

  async #flush(): Promise<void> {
    this.#send();
    await this.#sending;
    this.signal.throwIfAborted();
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function describe(error: unknown): { message: string; name: string; stack_trace: string | null } {
  if (error instanceof BuiltinFailure) {
    return { name: error.name, message: error.message.slice(0, MESSAGE_LIMIT_CHARACTERS), stack_trace: null };
  }
  // What went wrong inside is for the log; a person gets a sentence.
  return {
    name: 'InternalError',
    message: 'The builtin agent failed on this input; the server’s log says why.',
    stack_trace: null,
  };
}
