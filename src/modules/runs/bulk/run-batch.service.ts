import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { resolveRunConfig } from '../../agents/index.js';
import { RunsService } from '../lifecycle/runs.service.js';
import { type BatchSettings, RunBatchRepository } from './run-batch.repository.js';

/** Queues the first runs of many new tasks for the cost of one. */
@Injectable()
export class RunBatchService {
  constructor(
    private readonly repository: RunBatchRepository,
    private readonly runs: RunsService,
    private readonly bus: EventBus,
  ) {}

  /**
   * What `RunsService.createRun` does with no settings of its own, for tasks without a concurrency key that were made in this very
   * transaction. All of them or none; answers the run of each task. Workers are hinted after the commit.
   * @throws DomainError `conflict` where an agent is gone; whatever refuses any of the runs
   */
  async createFirstRuns(
    tx: Tx,
    scope: WriteScope,
    taskIds: readonly string[],
    options: { batchId: string; idempotencyKey: string | null },
  ): Promise<Map<string, string>> {
    if (taskIds.length === 0) {
      return new Map();
    }
    const settings = await this.repository.settings(scope, tx, taskIds);
    const runs = taskIds.map((taskId) => ({ id: newId(), taskId, runConfig: configOf(settings.get(taskId)) }));
    const { created, createdPrivate } = await this.repository.create(scope, tx, runs, options);
    if (created !== runs.length) {
      throw notFound('task');
    }
    await this.runs.incrementTaskCounters(tx, scope, { shown: created, shownPrivate: createdPrivate });
    tx.afterCommit(() => {
      for (const { id } of runs) {
        this.bus.publish(streamTopic(id));
      }
      this.bus.publish(workTopic(scope.organizationId));
    });
    return new Map(runs.map(({ id, taskId }) => [taskId, id]));
  }
}

function configOf(settings: BatchSettings | undefined): unknown {
  if (settings === undefined) {
    throw notFound('task');
  }
  if (settings.agentDeleted) {
    throw new DomainError('conflict', 'The agent of this task has been deleted; give the task another agent first.');
  }
  const { agentId, agentDefault, taskConfig: task, taskModel } = settings;
  return resolveRunConfig({ agentId, agentDefault, task, taskModel });
}
