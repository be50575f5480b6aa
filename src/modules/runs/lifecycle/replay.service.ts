import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError, forbidden, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { ReplayRepository } from './replay.repository.js';
import { RunEnqueuer } from './run-enqueuer.js';
import { RunsQuery, type RunView } from '../views/runs.query.js';

/** Running again what has run: with what it got then, not with what its task would give now. */
@Injectable()
export class ReplayService {
  constructor(
    private readonly repository: ReplayRepository,
    private readonly query: RunsQuery,
    private readonly admission: RunEnqueuer,
    private readonly idempotency: Idempotency,
    private readonly bus: EventBus,
  ) {}

  /** `POST /runs/{id}/replay`. @throws DomainError `not-found`, `forbidden`, `conflict` where its agent is gone */
  async replay(actor: Actor, runId: string, ticket: IdempotencyTicket | null): Promise<Outcome<RunView>> {
    const scope = writeScope(actor, 'run:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const { id } = await this.replayRun(tx, scope, runId, ticket?.key);
      const run = await this.query.findOwn(scope, tx, id);
      if (run === null) {
        throw notFound('run');
      }
      return run;
    });
  }

  /**
   * Queues the replay of a run inside the caller's transaction, as a root run of the same task. Workers are hinted after the commit.
   * @throws DomainError `not-found`, `forbidden`, `conflict` where its agent is gone, `limit-reached` where its key's newest is dropped
   */
  async replayRun(
    tx: Tx,
    scope: WriteScope,
    runId: string,
    idempotencyKey?: string,
  ): Promise<{ id: string; number: number }> {
    const source = await this.repository.source(scope, tx, runId);
    if (source === null) {
      await tx.assertLive(scope);
      throw (await this.query.find(scope, runId, tx)) === null ? notFound('run') : forbidden();
    }
    if (source.agentDeleted) {
      throw new DomainError('conflict', 'The agent of this run has been deleted; start a run of the task instead.');
    }
    if (source.payloadDeleted) {
      throw new DomainError(
        'conflict',
        'Retention has deleted the payload of this run (payloads_days); start a run of the task with the payload instead.',
      );
    }
    if (source.concurrencyKey !== null) {
      await this.admission.makeRoom(tx, scope, source, source.concurrencyKey);
    }
    const id = newId();
    const replayed = await this.repository.replay(scope, tx, runId, { id, idempotencyKey: idempotencyKey ?? null });
    if (replayed === null) {
      throw notFound('run');
    }
    tx.afterCommit(() => {
      this.bus.publish(streamTopic(id));
      this.bus.publish(workTopic(scope.organizationId));
    });
    return { id, number: replayed.number };
  }
}
