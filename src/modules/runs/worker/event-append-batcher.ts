import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { BatchExecutor } from '../../../kernel/concurrency/batch-executor.js';
import { BatchAppendRepository, type PendingAppend } from './batch-append.repository.js';
import { type Appended, WorkerRepository } from './worker.repository.js';

/** What goes with one commit at most, and how many commits of one principal are under way at once. */
const LIMITS = { most: 64, mostWeight: 64 * 1024, flights: 2 } as const;

type Answer = { appended: Appended | null } | { error: unknown };

/**
 * Many small appends, few commits. An append costs a commit, however small the batch is, and workers that stream tokens send batches of a
 * few events each; so those of one principal that arrive while others are being committed go together next.
 *
 * **Commits are joined, never events**: each batch keeps its own row, its own fence, its own answer and its own error. A batch that
 * cannot be served with others (its lease is lost, its run locked by somebody, the tables refuse it) is served alone. Nobody waits for
 * company: a batch that comes alone goes at once, by the statement it always went by.
 */
@Injectable()
export class EventAppendBatcher {
  readonly #gatherer = new BatchExecutor<WriteScope, PendingAppend, Answer>(
    (scope, appends) => this.#flush(scope, appends),
    { ...LIMITS, weigh: ({ batch }) => batch.eventsJson.length },
  );

  constructor(
    private readonly together: BatchAppendRepository,
    private readonly alone: WorkerRepository,
  ) {}

  /** Appends a batch, whole or not at all; null where the lease is not held. */
  async append(scope: WriteScope, append: PendingAppend): Promise<Appended | null> {
    const { organizationId, principalId, epoch } = scope.actor;
    const answer = await this.#gatherer.add(`${organizationId} ${principalId} ${epoch}`, scope, append);
    if ('error' in answer) {
      throw answer.error;
    }
    return answer.appended;
  }

  /** @throws where the batches are refused together, and none was appended */
  async #flush(scope: WriteScope, appends: readonly PendingAppend[]): Promise<Answer[]> {
    const appended = appends.length === 1 ? [] : await this.together.append(scope, appends);
    return Promise.all(
      appends.map(async (append, index) => {
        const done = appended[index];
        return done == null ? this.#alone(scope, append) : { appended: done };
      }),
    );
  }

  async #alone(scope: WriteScope, { runId, fence, batch }: PendingAppend): Promise<Answer> {
    try {
      return { appended: await this.alone.append(scope, runId, fence, batch, null) };
    } catch (error) {
      return { error };
    }
  }
}
