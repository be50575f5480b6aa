import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { MemberEgress } from '../../../infrastructure/egress/egress.js';
import { mergePatch } from '../../../http/pipes/merge-patch.js';
import { DomainError, forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { AgentsService, runConfigSchema } from '../../agents/index.js';
import { RunsService } from '../../runs/index.js';
import { SecretsService } from '../../secrets/index.js';
import { SchedulesService } from '../../schedules/index.js';
import { agreedModel, assertCallback, assertMayRefer, namedInBody, visibilityFor } from './task.rules.js';
import { type StoredDetail, TasksQuery } from '../queries/tasks.query.js';
import { type LockedTask, type TaskValues, TasksRepository } from '../tasks.repository.js';
import { TASK_LIMITS, type TaskPatch, fitsJson } from '../tasks.schema.js';

/** Changing tasks. */
@Injectable()
export class UpdateTaskService {
  constructor(
    private readonly database: Database,
    private readonly repository: TasksRepository,
    private readonly query: TasksQuery,
    private readonly agents: AgentsService,
    private readonly secrets: SecretsService,
    private readonly runs: RunsService,
    private readonly schedules: SchedulesService,
    private readonly egress: MemberEgress,
  ) {}

  /**
   * Applies a merge patch (RFC 7396). Whoever may contribute changes what the task is about; who sees it, and where it stands
   * (`visibility`, `team_id`, `project_id`), where its ends are told (`callback`) and which secrets its runs are given, takes the right
   * to manage it. Runs that exist keep what they were started with.
   *
   * @throws DomainError `not-found`, `forbidden`, `invalid-request`, `not-available`
   */
  async update(actor: Actor, id: string, patch: TaskPatch): Promise<StoredDetail> {
    const scope = writeScope(actor, 'task:contribute');
    assertCallback(this.egress, patch.callback);
    return this.database.write(scope, async (tx) => {
      const task = await this.repository.lock(scope, tx, id);
      if (task === null) {
        throw notFound('task');
      }
      const managed = moves(patch) || patch.callback !== undefined || patch.secret_names !== undefined;
      if (!task.mayContribute || (managed && !task.mayManage)) {
        throw forbidden();
      }
      await this.#apply(scope, tx, id, task, patch);
      const detail = await this.query.detail(scope, id, tx);
      if (detail === null) {
        // The change took the task out of the actor's own sight, which only an admin could undo.
        throw new DomainError(
          'conflict',
          'After this change you could not see the task any more; ask an admin to do it.',
        );
      }
      return detail;
    });
  }

  async #apply(scope: WriteScope, tx: Tx, id: string, task: LockedTask, patch: TaskPatch): Promise<void> {
    assertMayRefer(
      await this.repository.standings(scope, tx, {
        teamId: patch.team_id ?? null,
        projectId: patch.project_id ?? null,
        accountId: patch.account_id ?? null,
        artistAccountId: patch.artist_account_id ?? null,
      }),
    );
    const change = {
      ...contents(task, patch),
      ...(moves(patch) ? place(task, patch) : {}),
      ...(await this.#agentAndSecrets(scope, tx, task, patch)),
    };
    await this.agents.assertKnownAgents(tx, scope, change.runConfig ?? {}, '/run_config');
    if (patch.schedule === null) {
      await this.schedules.removeForTask(tx, scope, id);
    } else if (patch.schedule !== undefined) {
      await this.schedules.putForTask(tx, scope, id, patch.schedule);
    }
    if (!(await this.repository.update(scope, tx, id, change))) {
      throw forbidden();
    }
    if (change.enabled !== undefined && change.enabled !== task.enabled) {
      await this.schedules.taskSwitched(tx, scope, id, change.enabled);
    }
    const becomesPrivate =
      change.visibility === undefined
        ? 0
        : Number(change.visibility === 'private') - Number(task.visibility === 'private');
    if (task.hasRun && becomesPrivate !== 0) {
      await this.runs.incrementTaskCounters(tx, scope, { shown: 0, shownPrivate: becomesPrivate });
    }
  }

  /** The two go together: what a task names, its agent must be allowed, whichever of them changes. */
  async #agentAndSecrets(scope: WriteScope, tx: Tx, task: LockedTask, patch: TaskPatch): Promise<Partial<TaskValues>> {
    const changesAgent = patch.agent !== undefined || patch.agent_id !== undefined;
    const names = patch.secret_names ?? task.secretNames;
    if (!changesAgent && (patch.secret_names === undefined || names.length === 0)) {
      return patch.secret_names === undefined ? {} : { secretNames: names };
    }
    const agent = changesAgent
      ? await namedInBody(this.agents.resolve(tx, scope, patch), patch, 'invalid-request')
      : await this.agents.resolve(tx, scope, { agent_id: task.agentId });
    await this.secrets.assertMayName(tx, scope, names, agent.allowed_secret_names);
    return {
      ...(changesAgent ? { agentId: agent.id } : {}),
      ...(patch.secret_names === undefined ? {} : { secretNames: names }),
    };
  }
}

/** True where the patch says who sees the task, or where it stands. */
function moves(patch: TaskPatch): boolean {
  return patch.visibility !== undefined || patch.team_id !== undefined || patch.project_id !== undefined;
}

/** Where the task goes. Leaving its team without saying who is to see it leaves it to its creator: the narrower choice. */
function place(task: LockedTask, patch: TaskPatch): Partial<TaskValues> {
  const teamId = patch.team_id === undefined ? task.teamId : patch.team_id;
  const kept = task.visibility === 'team' && teamId === null ? undefined : task.visibility;
  return {
    teamId,
    visibility: visibilityFor(patch.visibility ?? kept, teamId),
    ...(patch.project_id === undefined ? {} : { projectId: patch.project_id }),
  };
}

function contents(task: LockedTask, patch: TaskPatch): Partial<TaskValues> {
  const { runConfig, model } = configuration(task, patch);
  const merged = {
    title: patch.title,
    prompt: patch.prompt,
    payload:
      patch.payload === undefined
        ? undefined
        : within(patchedPayload(task, patch.payload), TASK_LIMITS.payloadBytes, '/payload', '1 MiB'),
    model,
    runConfig,
    accountId: patch.account_id,
    artistAccountId: patch.artist_account_id,
    isIsolated: patch.is_isolated,
    callback: patch.callback,
    tags: patch.tags === null ? [] : patch.tags,
    metadata: patch.metadata === undefined ? undefined : mergedMetadata(task, patch.metadata),
    enabled: patch.enabled,
    priority: patch.priority === null ? 0 : patch.priority,
    maxAttempts: patch.max_attempts,
  };
  return defined(merged);
}

/** `model` and `run_config.model` are one thing: a patch of either is a patch of both. */
function configuration(
  task: LockedTask,
  patch: TaskPatch,
): { runConfig: TaskValues['runConfig'] | undefined; model: string | null | undefined } {
  if (patch.run_config === undefined) {
    return { runConfig: undefined, model: patch.model };
  }
  const said = patch.run_config === null ? { model: null } : patch.run_config;
  const parsed = runConfigSchema.safeParse(
    patch.run_config === null ? {} : mergePatch(task.runConfig, patch.run_config),
  );
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(
      ['/run_config', ...(issue?.path ?? [])].join('/'),
      issue?.message ?? 'This is not a run configuration.',
    );
  }
  const { model, ...runConfig } = parsed.data;
  return { runConfig, model: agreedModel(patch.model, 'model' in said ? (model ?? null) : undefined) };
}

/** An object merges into the payload; anything else takes its place. */
function patchedPayload(task: LockedTask, patch: unknown): unknown {
  const object = z.record(z.string(), z.unknown()).safeParse(patch);
  return object.success ? mergePatch(task.payload, object.data) : patch;
}

function mergedMetadata(task: LockedTask, patch: Record<string, unknown> | null): Record<string, unknown> {
  return within(
    patch === null ? {} : mergePatch(task.metadata, patch),
    TASK_LIMITS.metadataBytes,
    '/metadata',
    '64 KiB',
  );
}

function within<Value>(value: Value, mostBytes: number, path: string, size: string): Value {
  if (!fitsJson(value, mostBytes)) {
    throw invalid(path, `must be at most ${size} as JSON after the change`);
  }
  return value;
}

/** Without what was not given. */
function defined<Shape extends Record<string, unknown>>(
  values: Shape,
): { [Key in keyof Shape]?: Exclude<Shape[Key], undefined> };
function defined(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
