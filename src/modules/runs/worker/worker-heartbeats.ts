/**
 * Who asks for work: kept so that a run that nobody takes can say since when. One write every few seconds a worker and agent, however
 * often it asks; what is lost with the process is those seconds.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Log } from '../../../kernel/log.js';
import { WorkerHeartbeatsRepository } from './worker-heartbeats.repository.js';

/** A claim that waits looks again each second, and is to be seen all the while. */
const INTERVAL_MS = 10_000;
const MAX_ENTRIES = 10_000;

@Injectable()
export class WorkerHeartbeats {
  /** When each was last written, by the process's own clock. */
  readonly #writtenMs = new Map<string, number>();

  constructor(
    private readonly repository: WorkerHeartbeatsRepository,
    private readonly log: Log,
  ) {}

  /** Notes that the worker asked for runs of these agents, and where `claimed` that it got some. Never fails its caller. */
  async note(scope: WriteScope, agentIds: readonly string[], workerId: string, claimed: boolean): Promise<void> {
    const nowMs = performance.now();
    const due = [...new Set(agentIds)].filter((agentId) =>
      this.#isDue(`${agentId} ${scope.actor.principalId} ${workerId} ${claimed}`, nowMs),
    );
    if (due.length === 0) {
      return;
    }
    try {
      await this.repository.note(scope, due, workerId, claimed);
    } catch (error) {
      this.log.warn('a worker was not noted; its next request is', { error });
    }
  }

  #isDue(key: string, nowMs: number): boolean {
    const writtenMs = this.#writtenMs.get(key);
    if (writtenMs !== undefined && nowMs - writtenMs < INTERVAL_MS) {
      return false;
    }
    if (this.#writtenMs.size >= MAX_ENTRIES) {
      this.#writtenMs.clear();
    }
    this.#writtenMs.set(key, nowMs);
    return true;
  }
}
