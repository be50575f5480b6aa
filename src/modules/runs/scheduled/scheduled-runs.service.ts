import { Injectable } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError } from '../../../kernel/errors.js';
import { resolveRunConfig } from '../../agents/index.js';
import { RunEnqueuer } from '../lifecycle/run-enqueuer.js';
import type { RunSettings } from '../lifecycle/runs.repository.js';
import { ScheduledRunsRepository } from './scheduled-runs.repository.js';

/** What decides how a run of a schedule goes; the configurations as JSON texts, equal for many. */
export interface ScheduledSettings {
  agentId: string;
  agentDefault: string;
  taskConfig: string;
  taskModel: string | null;
  concurrencyKey: string | null;
  concurrencyKeyLimit: number;
  concurrencyStrategy: RunSettings['concurrencyStrategy'];
}

export interface ScheduledRun {
  id: string;
  organizationId: string;
  taskId: string;
  scheduleId: string;
  createdBy: string;
  settings: ScheduledSettings;
}

/** More configurations than this are not remembered at once. */
const MAX_CONFIGS = 2_000;

/** Queues runs that no request asked for, a thousand for the cost of a few. */
@Injectable()
export class ScheduledRuns {
  readonly #configs = new Map<string, string>();

  constructor(
    private readonly repository: ScheduledRunsRepository,
    private readonly admission: RunEnqueuer,
    private readonly bus: EventBus,
    private readonly rowLimits: RowLimits,
  ) {}

  /**
   * What `RunsService.createRun` does with no settings of its own; the tasks' rows are locked by the caller. All of them or none.
   * Workers are hinted after the commit.
   * @throws DomainError whatever refuses any of the runs, a budget above all
   */
  async create(tx: Tx, runs: readonly ScheduledRun[]): Promise<void> {
    if (runs.length === 0) {
      return;
    }
    await this.#assertRoom(tx, runs);
    const places = new Map<string, number>();
    const rows = runs.map(({ settings, ...run }) => {
      const config = this.#config(settings);
      const place = places.get(config) ?? places.size + 1;
      places.set(config, place);
      return { ...run, config: place };
    });
    const created = await this.repository.create(tx, rows, [...places.keys()]);
    if (created !== runs.length) {
      throw new DomainError('conflict', 'A task was deleted meanwhile.');
    }
    const organizations = new Set(runs.map((run) => run.organizationId));
    tx.afterCommit(() => {
      organizations.forEach((id) => this.bus.publish(workTopic(id)));
    });
  }

  /**
   * Makes room for a run where its agent says that the newest takes the place of the oldest; false where it says that the newest is
   * dropped, and there is no room.
   */
  async admit(tx: Tx, run: ScheduledRun): Promise<boolean> {
    const { settings } = run;
    if (settings.concurrencyKey === null || settings.concurrencyStrategy === 'queue') {
      return true;
    }
    const scope = unsafelySystemScope(run.organizationId, 'make room for a run of a schedule');
    try {
      await this.admission.admit(tx, scope, { ...settings, agentDeleted: false }, { scheduledTaskId: run.taskId });
      return true;
    } catch (error) {
      if (error instanceof DomainError && error.code === 'limit-reached') {
        return false;
      }
      throw error;
    }
  }

  /** Asks for the end of all runs of a schedule that have not ended. The task's row is locked by the caller. */
  async cancelLive(tx: Tx, organizationId: string, taskId: string, scheduleId: string): Promise<void> {
    const scope = unsafelySystemScope(organizationId, 'let a run of a schedule take the place of the one before');
    const changed = await this.repository.cancelLive(scope, tx, taskId, scheduleId);
    // What the canceled ones started is found by the sweep over families.
    tx.afterCommit(() => changed.forEach((id) => this.bus.publish(streamTopic(id))));
  }

  /** True where the organization has as many runs that have not ended as it may. */
  isFull(organizationId: string): boolean {
    return this.rowLimits.isFull(organizationId, 'openRuns');
  }

  async #assertRoom(tx: Tx, runs: readonly ScheduledRun[]): Promise<void> {
    const counts = new Map<string, number>();
    for (const { organizationId } of runs) {
      counts.set(organizationId, (counts.get(organizationId) ?? 0) + 1);
    }
    for (const [organizationId, count] of counts) {
      const scope = unsafelySystemScope(organizationId, 'hold runs of schedules to the limits of their organization');
      await this.rowLimits.assertRoom(scope, tx, 'openRuns', count);
    }
  }

  #config(settings: ScheduledSettings): string {
    const key = `${settings.agentId} ${settings.taskModel ?? ''} ${settings.agentDefault} ${settings.taskConfig}`;
    const known = this.#configs.get(key);
    if (known !== undefined) {
      return known;
    }
    const resolved = JSON.stringify(
      resolveRunConfig({
        agentId: settings.agentId,
        agentDefault: JSON.parse(settings.agentDefault),
        task: JSON.parse(settings.taskConfig),
        taskModel: settings.taskModel,
      }),
    );
    if (this.#configs.size >= MAX_CONFIGS) {
      this.#configs.clear();
    }
    this.#configs.set(key, resolved);
    return resolved;
  }
}
