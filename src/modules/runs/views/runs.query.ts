/** Reads of runs: PostgreSQL builds the JSON, in the words of the API, in one round trip. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { readableTask } from '../../../database/scope.sql.js';
import { type Sql, all, empty, raw, sql } from '../../../database/sql.js';
import type { z } from 'zod';
import type { Message } from '../../messages/index.js';
import { resumeJson } from '../children/run-tree.repository.js';
import type { Resume } from '../interaction/interaction.schema.js';
import type { runSchema, RunListQuery } from './runs.schema.js';
import { waitingForJson } from './waiting-for.query.js';

export type RunView = z.output<typeof runSchema>;

/**
 * A run row as the API shows it; `more` are further columns (`, expression as name …`). A row made into JSON, not an object put together
 * by pairs: that takes any number of fields, and half the time of `jsonb`, which sorts what it is about to print.
 */
export function runJson(alias: string, more: Sql = empty): Sql {
  const r = raw(alias);
  return sql`(select row_to_json(shown) from (select ${r}.id, ${r}.task_id, ${r}.number, ${r}.agent_id, ${r}.status, ${r}.wait_kind,
      ${r}.attempt, ${r}.max_attempts, ${r}.priority, ${r}.run_config, ${r}.payload, ${r}.output, ${r}.error, ${r}.tags,
      ${r}.metadata, ${r}.idempotency_key, ${r}.is_test, ${r}.cost_in_cents::float8 as cost_in_cents,
      ${r}.base_cost_in_cents::float8 as base_cost_in_cents,
      (extract(epoch from ${r}.finished_at - ${r}.started_at) * 1000)::bigint as duration_ms,
      iso_utc(${r}.created_at) as created_at, iso_utc(${r}.updated_at) as updated_at, iso_utc(${r}.queued_at) as queued_at,
      iso_utc(${r}.available_at) as available_at, iso_utc(${r}.delayed_until) as delayed_until, ${r}.ttl,
      iso_utc(${r}.expired_at) as expired_at, iso_utc(${r}.started_at) as started_at, iso_utc(${r}.finished_at) as finished_at,
      ${r}.parent_run_id, ${r}.root_run_id, ${r}.depth, ${r}.batch_id, ${r}.concurrency_key, ${r}.schedule_id, ${r}.id as stream_id,
      ${r}.last_seq, iso_utc(${r}.cancel_requested_at) as cancel_requested_at, ${r}.replay_of_run_id,
      ${openWaitJson(alias, 'question')} as question, ${openWaitJson(alias, 'approval')} as approval,
      ${attemptsJson(alias)} as attempts${more}) shown)`;
}

/** The question or tool call that a run waits with now; null where it waits for something else, or not at all. */
function openWaitJson(alias: string, kind: 'question' | 'approval'): Sql {
  const r = raw(alias);
  const asked = sql`${r}.wait || jsonb_build_object('asked_at', iso_utc(${r}.wait_since))`;
  return kind === 'approval'
    ? sql`case when ${r}.wait_kind = 'approval' then ${asked} end`
    : sql`case when ${r}.wait_kind = 'question' then ${asked}
        || jsonb_build_object('assignee_id', ${r}.wait_assignee_id, 'due_at', iso_utc(${r}.wait_due_at)) end`;
}

/** A run that is shown by itself also says why it does not move. */
function singleRunJson(scope: ReadScope, alias: string): Sql {
  return runJson(alias, sql`, ${waitingForJson(scope, alias)} as waiting_for`);
}

/** The attempts of a run, first to last. */
export function attemptsJson(alias: string): Sql {
  const r = raw(alias);
  return sql`coalesce((select json_agg(json_build_object('number', a.number, 'status', a.status, 'worker_id', a.worker_id,
      'started_at', iso_utc(a.started_at), 'finished_at', iso_utc(a.finished_at), 'error', a.error) order by a.number)
    from run_attempts a where a.organization_id = ${r}.organization_id and a.run_id = ${r}.id), '[]'::json)`;
}

@Injectable()
export class RunsQuery {
  constructor(private readonly database: Database) {}

  /** One run of a readable task, or null. */
  async find(scope: ReadScope, runId: string, tx?: Tx): Promise<RunView | null> {
    return (tx ?? this.database).json<RunView>(
      scope,
      sql`select ${singleRunJson(scope, 'r')} from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.organization_id = ${scope.organizationId} and r.id = ${runId} and ${readableTask(scope, 't')}`,
    );
  }

  /** A run that the transaction has made or changed in the caller's right, whatever that change did to the right to read it. */
  async findOwn(scope: WriteScope, tx: Tx, runId: string): Promise<RunView | null> {
    return tx.json<RunView>(
      scope,
      sql`select ${singleRunJson(scope, 'r')} from runs r where r.organization_id = ${scope.organizationId} and r.id = ${runId}`,
    );
  }

  /** One page of the runs of readable tasks, of one task where `taskId` is given. */
  async list(
    scope: ReadScope,
    filter: RunListQuery,
    taskId: string | null,
    page: KeysetPage,
  ): Promise<KeysetRow<RunView>[]> {
    const conditions = [
      sql`r.organization_id = ${scope.organizationId}`,
      readableTask(scope, 't'),
      createdBetween('r', filter),
    ];
    if (filter.status !== undefined) conditions.push(sql`r.status = ${filter.status}`);
    if (filter.wait_kind !== undefined) conditions.push(sql`r.wait_kind = ${filter.wait_kind}`);
    if (filter.agent !== undefined) conditions.push(sql`a.slug = ${filter.agent} and a.deleted_at is null`);
    if (filter.team_id !== undefined) conditions.push(sql`t.team_id = ${filter.team_id}`);
    if (filter.assignee !== undefined) {
      const assigneeId = filter.assignee === 'me' ? scope.actingUserId : filter.assignee;
      conditions.push(sql`r.status = 'waiting' and r.wait_assignee_id = ${assigneeId}::uuid`);
    }
    if (filter.due_before !== undefined) {
      conditions.push(sql`r.status = 'waiting' and r.wait_due_at < ${filter.due_before}::timestamptz`);
    }
    if (taskId !== null) conditions.push(sql`r.task_id = ${taskId}`);
    return (
      (await this.database.json<KeysetRow<RunView>[]>(
        scope,
        keysetRows('r', page, {
          item: runJson('r'),
          from: sql`runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
            join agents a on a.organization_id = r.organization_id and a.id = r.agent_id`,
          where: all(conditions),
        }),
      )) ?? []
    );
  }

  /** True where the actor may read the task. */
  async taskReadable(scope: ReadScope, taskId: string, tx?: Tx): Promise<boolean> {
    const found = await (tx ?? this.database).json<boolean>(
      scope,
      sql`select true from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')}`,
    );
    return found === true;
  }

  /**
   * What a worker is told with its lease: run, task and messages of each, in the order of the ids. These stand in a subselect, where the
   * planner does not count them: it keeps the one plan then.
   */
  async assignments(
    scope: WriteScope,
    runIds: readonly string[],
    messages: (taskAlias: string) => Sql,
  ): Promise<Assignment[]> {
    return (
      (await this.database.json<Assignment[]>(
        scope,
        sql`select coalesce(json_agg(json_build_object('run', ${runJson('r')}, 'task', json_build_object(
              'id', t.id, 'title', t.title, 'prompt', t.prompt, 'payload', t.payload, 'model', t.model, 'tags', to_jsonb(t.tags),
              'metadata', t.metadata, 'is_isolated', t.is_isolated, 'secret_names', to_jsonb(t.secret_names), 'project_id', t.project_id, 'team_id', t.team_id,
              'account_id', t.account_id, 'artist_account_id', t.artist_account_id, 'created_at', iso_utc(t.created_at)),
            'messages', ${messages('t')}, 'resume', ${resumeJson('r')}) order by array_position(asked.ids, r.id)), '[]'::json)
          from (select (select ${runIds}::uuid[]) as ids) asked, runs r
            join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
          where r.organization_id = ${scope.organizationId} and r.id = any(asked.ids)`,
      )) ?? []
    );
  }
}

export interface Assignment {
  run: RunView;
  task: { id: string; title: string; prompt: string; payload: unknown; secret_names: string[] } & Record<
    string,
    unknown
  >;
  messages: Message[];
  /** What the run's last wait ended with; null for one that has not waited. */
  resume: Resume | null;
}
