/**
 * Reads of tasks. Each is one statement in which PostgreSQL builds the JSON in our words; Node adds what takes keys or a calendar
 * (links, fire times) and says the states in the words of the page.
 */
import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import {
  type KeysetPage,
  type KeysetRow,
  createdBetween,
  keysetAt,
  keysetBegin,
  keysetOrder,
} from '../../../database/keyset.sql.js';
import {
  contributableTask,
  projectSharedWith,
  readableTask,
  shownCallback,
  taskSharedWith,
  tenant,
} from '../../../database/scope.sql.js';
import { type Sql, all, any, raw, sql } from '../../../database/sql.js';
import { isId } from '../../../kernel/ids.js';
import type { ResolvedRunConfig } from '../../agents/index.js';
import { type Message, latestMessagesJson, messagesTotal } from '../../messages/index.js';
import type { RunStatus, TaskStatus } from '../../runs/index.js';
import { type StoredScheduleInfo, scheduleInfoJson } from '../../schedules/index.js';
import { MAX_LISTED_PROMPT_CHARACTERS } from './task-view.schema.js';
import type { TaskListQuery, Visibility } from '../tasks.schema.js';

/** A task as the database tells it. */
export interface StoredTask {
  created_at: string;
  id: string;
  title: string;
  created_by: string | null;
  is_isolated: boolean;
  model: string | null;
  project_id: string | null;
  secret_names: string[];
  updated_at: string;
  status: TaskStatus;
  prompt: string;
  payload: unknown;
  run_config: Record<string, unknown>;
  agent_id: string;
  agent: string;
  team_id: string | null;
  visibility: Visibility;
  account_id: string | null;
  artist_account_id: string | null;
  created_by_id: string;
  tags: string[];
  metadata: Record<string, unknown>;
  enabled: boolean;
  priority: number;
  max_attempts: number | null;
  callback: string | null;
  latest_run_id: string | null;
  run_count: number;
  schedule: StoredScheduleInfo | null;
}

export interface StoredItem {
  task: StoredTask;
  read_only: boolean;
}

/** A task as lists show it: its prompt may be cut. */
export interface StoredListItem extends StoredItem {
  prompt_truncated: boolean;
}

export interface StoredStream {
  id: string;
  status: RunStatus;
  created_at: string;
  completed_at: string | null;
  run_config: ResolvedRunConfig;
  last_seq: number;
}

/** All of a task's detail. */
export interface StoredDetail extends StoredItem {
  /** For a task that has not been run: what its first run would start from. */
  agent_default: Record<string, unknown>;
  messages: Message[];
  messages_total: number;
  /** The latest root run. */
  stream: StoredStream | null;
  streams: StoredStream[];
  streams_total: number;
}

/** How much of a task's history its detail shows. */
const MAX_MESSAGES = 200;
const MAX_STREAMS = 100;

/** A page ends early rather than be larger than this in prompts, payloads and metadata: a hundred tasks may have 2 MiB each. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

/** The beginning of the prompt of the task `t`, as lists show it; of a long text PostgreSQL reads no more than that. */
const LISTED_PROMPT = sql`left(t.prompt, ${raw(String(MAX_LISTED_PROMPT_CHARACTERS))})`;
const IS_PROMPT_CUT = sql`(octet_length(t.prompt) > ${raw(String(MAX_LISTED_PROMPT_CHARACTERS))}
  and length(left(t.prompt, ${raw(String(MAX_LISTED_PROMPT_CHARACTERS + 1))})) > ${raw(String(MAX_LISTED_PROMPT_CHARACTERS))})`;
/** In bytes, at most; the length of a stored text is known without reading it. */
const LISTED_PROMPT_BYTES = sql`least(octet_length(t.prompt), ${raw(String(4 * MAX_LISTED_PROMPT_CHARACTERS))})`;

/** A {@link StoredTask} of the task row `alias`, as an expression. */
export function taskJson(scope: ReadScope, alias: string, prompt = sql`${raw(alias)}.prompt`): Sql {
  const t = raw(alias);
  return sql`json_build_object('created_at', iso_utc(${t}.created_at), 'id', ${t}.id, 'title', ${t}.title,
    'created_by', (select u.email from users u where u.organization_id = ${t}.organization_id and u.id = ${t}.created_by),
    'is_isolated', ${t}.is_isolated, 'model', ${t}.model, 'project_id', ${t}.project_id, 'secret_names', to_json(${t}.secret_names),
    'updated_at', iso_utc(${t}.updated_at), 'status', ${t}.status, 'prompt', ${prompt}, 'payload', ${t}.payload,
    'run_config', ${t}.run_config, 'agent_id', ${t}.agent_id,
    'agent', (select a.slug from agents a where a.organization_id = ${t}.organization_id and a.id = ${t}.agent_id),
    'team_id', ${t}.team_id, 'visibility', ${t}.visibility, 'account_id', ${t}.account_id,
    'artist_account_id', ${t}.artist_account_id, 'created_by_id', ${t}.created_by, 'tags', to_json(${t}.tags),
    'metadata', ${t}.metadata, 'enabled', ${t}.enabled, 'priority', ${t}.priority, 'max_attempts', ${t}.max_attempts,
    'callback', ${shownCallback(scope, alias)}, 'latest_run_id', ${t}.latest_run_id, 'run_count', ${t}.run_count, 'schedule', ${scheduleInfoJson(alias)})`;
}

const STREAM = sql`json_build_object('id', r.id, 'status', r.status, 'created_at', iso_utc(r.created_at),
  'completed_at', iso_utc(r.finished_at), 'run_config', r.run_config, 'last_seq', r.last_seq)`;

@Injectable()
export class TasksQuery {
  constructor(private readonly database: Database) {}

  /** The whole detail in one round trip; null where the task is not there for this actor. */
  async detail(scope: ReadScope, id: string, tx: Tx | null = null): Promise<StoredDetail | null> {
    return (tx ?? this.database).json<StoredDetail>(
      scope,
      sql`select json_build_object(
          'task', ${taskJson(scope, 't')},
          'read_only', not ${contributableTask(scope, 't')},
          'agent_default', (select a.default_run_config from agents a where a.organization_id = t.organization_id and a.id = t.agent_id),
          'messages', ${latestMessagesJson('t', MAX_MESSAGES)},
          'messages_total', ${messagesTotal('t')},
          'stream', (select ${STREAM} from runs r where r.organization_id = t.organization_id and r.id = t.latest_run_id),
          'streams', (select coalesce(json_agg(${STREAM} order by r.number), '[]'::json)
            from (select r.* from runs r where r.organization_id = t.organization_id and r.task_id = t.id
              order by r.number desc limit ${raw(String(MAX_STREAMS))}) r),
          'streams_total', (select count(*) from runs r where r.organization_id = t.organization_id and r.task_id = t.id))
        from tasks t where t.id = ${id} and ${readableTask(scope, 't')}`,
    );
  }

  /**
   * The rows of one page, and the position of a row more, its `item` null, where there are more. The page is cut short before the
   * row that would take it past {@link MAX_PAGE_BYTES}; rows from there on have a null `item` too.
   */
  async list(scope: ReadScope, query: TaskListQuery, page: KeysetPage): Promise<KeysetRow<StoredListItem | null>[]> {
    const found = finding(scope, query, page);
    const rows = await this.database.json<KeysetRow<StoredListItem | null>[]>(
      scope,
      sql`select coalesce(json_agg(json_build_object('at', t.page_at, 'id', t.id, 'item',
            case when t.page_position <= ${page.limit}::int and (t.page_position = 1 or t.page_bytes <= ${MAX_PAGE_BYTES}::bigint)
              then json_build_object('task', ${taskJson(scope, 't', LISTED_PROMPT)}, 'prompt_truncated', ${IS_PROMPT_CUT},
                'read_only', not ${contributableTask(scope, 't')}) end)
          order by t.page_position), '[]'::json)
        from (
          select t.*, ${keysetAt('t', page)} as page_at, row_number() over (order by ${keysetOrder('t', page)}) as page_position,
            sum(${LISTED_PROMPT_BYTES} + coalesce(octet_length(t.payload::text), 0) + octet_length(t.metadata::text))
              over (order by ${keysetOrder('t', page)}) as page_bytes
          from (select t.* from ${found.from} where ${readableTask(scope, 't')} and ${filters(scope, query, found.by)}
              and ${keysetBegin(found.by, page)}
            order by ${keysetOrder(found.by, page)} limit ${page.limit + 1}) t
        ) t`,
    );
    return rows ?? [];
  }
}

/** Where a list is looked up: what changes with each step of a run is not in the indexes of tasks, but in those of `task_listing`. */
function finding(scope: ReadScope, query: TaskListQuery, page: KeysetPage): { from: Sql; by: string } {
  const isByChange = page.sort === 'updated_at' || page.sort === '-updated_at';
  if (query.status === undefined && !isByChange) {
    return { from: sql`tasks t`, by: 't' };
  }
  const status = query.status === undefined ? sql`true` : sql`l.status = ${query.status}`;
  return {
    from: sql`tasks t join task_listing l on l.organization_id = t.organization_id and l.id = t.id
      and l.organization_id = ${scope.organizationId} and ${status}`,
    by: 'l',
  };
}

function filters(scope: ReadScope, query: TaskListQuery, by: string): Sql {
  const conditions: Sql[] = [createdBetween(by, query)];
  const add = <Value>(value: Value | undefined, condition: (value: Value) => Sql): void => {
    if (value !== undefined) {
      conditions.push(condition(value));
    }
  };
  // A slug may have named other agents before; their tasks are found by it too.
  add(
    query.agent,
    (slug) => sql`t.agent_id = any(array(select a.id from agents a where ${tenant(scope, 'a')} and a.slug = ${slug}))`,
  );
  add(query.team_id, (id) => sql`t.team_id = ${id}`);
  add(query.project_id, (id) => sql`t.project_id = ${id}`);
  add(query.account_id, (id) => sql`t.account_id = ${id}`);
  add(query.artist_account_id, (id) => sql`t.artist_account_id = ${id}`);
  add(query.created_by, (who) =>
    isId(who)
      ? sql`t.created_by = ${who}`
      : sql`t.created_by = any(array(select u.id from users u where ${tenant(scope, 'u')} and lower(u.email) = ${who}))`,
  );
  add(query.tag, (tags) => sql`t.tags @> ${tags}::text[]`);
  add(query.q, (text) => {
    const pattern = `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`;
    return sql`(t.title ilike ${pattern} or t.prompt ilike ${pattern})`;
  });
  add(query.scope, (which) => within(scope, which));
  add(query.read_only, (readOnly) =>
    readOnly ? sql`not ${contributableTask(scope, 't')}` : contributableTask(scope, 't'),
  );
  return all(conditions);
}

/** The part of what is readable that `scope=` asks for. */
function within(scope: ReadScope, which: NonNullable<TaskListQuery['scope']>): Sql {
  switch (which) {
    case 'all':
      return sql`true`;
    case 'mine':
      return sql`t.created_by = ${scope.actor.creatorId}`;
    case 'team':
      return sql`(t.visibility <> 'private' and t.team_id = any(${scope.teamIds}::uuid[]))`;
    case 'shared':
      return any([
        taskSharedWith(raw('t'), scope.teamIds, false),
        sql`(t.visibility <> 'private' and ${projectSharedWith(raw('t'), scope.teamIds, false)})`,
      ]);
  }
}
