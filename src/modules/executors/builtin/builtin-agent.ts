import type { ClaimedWork, WorkerEvent } from '../../runs/index.js';

/** Bytes a builtin agent leaves as an asset of its run. */
export interface BuiltinAsset {
  name: string;
  type: 'voice' | 'image' | 'sound' | 'video' | '360' | '3d' | 'file';
  contentType: string;
  bytes: Uint8Array;
  metadata: Readonly<Record<string, unknown>>;
}

/** What a builtin agent may do to its run: the same as any worker over HTTP, by the same path. */
export interface BuiltinRun {
  readonly work: ClaimedWork;
  /** Aborts when the lease is lost, a cancel is asked for, or the process stops. */
  readonly signal: AbortSignal;
  /** Appends events; gathered for a moment and sent in order. */
  emit(event: WorkerEvent): void;
  /** Stores bytes and returns the asset's id. */
  keep(asset: BuiltinAsset): Promise<string>;
}

/** An agent whose code is ours and runs in this process. */
export interface BuiltinAgent {
  /** What `config.builtin` of an agent of kind `builtin` says to mean this one. */
  readonly name: string;
  /** Resolves with the run's output. @throws the signal's reason when aborted, BuiltinFailure for a fault of the input */
  execute(run: BuiltinRun): Promise<Record<string, unknown>>;
}

/** The input cannot be worked on; the message is for the person who gave it. */
export class BuiltinFailure extends Error {
  override readonly name = 'InvalidInput';
}
