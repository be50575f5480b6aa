/**
 * How an agent is run by this process: one executor per kind of agent, each given a leased run and nothing else. Leases, heartbeats,
 * gathering of events and how a run ends are not theirs (`run-execution.ts`); they work, emit, and resolve or throw.
 */
import type { AgentForExecution } from '../agents/index.js';
import type { AssetType } from '../assets/index.js';
import type { ClaimedWork, WorkerEvent } from '../runs/index.js';

/** Bytes that a run leaves as an asset. */
export interface AgentFile {
  name: string;
  type: AssetType;
  contentType: string;
  bytes: Uint8Array | AsyncIterable<Uint8Array>;
  metadata: Readonly<Record<string, unknown>>;
}

/** What may be done to a run that is held: the same as any worker over HTTP, by the same path. */
export interface LeasedRun {
  readonly organizationId: string;
  readonly work: ClaimedWork;
  /** Aborts when the lease is lost, a cancel is asked for, or the process stops. */
  readonly signal: AbortSignal;
  /** Appends events; gathered for a moment and sent in order. */
  emit(event: WorkerEvent): void;
  /** Resolves when little enough is waiting to be sent: whoever emits what it reads waits for this before reading on. */
  room(): Promise<void>;
  /** Stores bytes and returns the asset's id. */
  keep(file: AgentFile): Promise<string>;
}

export interface Executor {
  readonly kind: Exclude<AgentForExecution['kind'], 'worker'>;
  /** Runs of this kind at once in this process. */
  readonly concurrency: number;
  /** Resolves with the run's result. @throws the signal's reason when aborted, RunFailure for what a person should be told */
  execute(run: LeasedRun, agent: AgentForExecution): Promise<RunResult>;
}

/** All of them, for whoever hands out runs. */
export const EXECUTORS = Symbol('EXECUTORS');

export interface RunResult {
  output: Record<string, unknown>;
  costInCents?: number;
}

/** Why a run failed, in words for people. */
export class RunFailure extends Error {
  constructor(
    override readonly name: string,
    message: string,
    /** False where the same would happen again: then no attempt is spent on it. */
    readonly mayRetry: boolean,
    readonly stackTrace: string | null = null,
  ) {
    super(message);
  }
}
