import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { RowLimits } from '../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../database/keyset.sql.js';
import { isRetryable, toDomainError } from '../../database/sql-errors.js';
import { type Sql, all, assignments, join, jsonb, sql } from '../../database/sql.js';
import { tenant } from '../../database/scope.sql.js';
import { DomainError } from '../../kernel/errors.js';
import type { ConcurrencyStrategy, RetryPolicy } from './queue/queue-settings.js';
import type { AgentKind, AgentListQuery, AgentView } from './agents.schema.js';

type Reader = Pick<Tx, 'json'>;

/** What making a task or a run needs to know of its agent. */
export interface AgentRow {
  id: string;
  slug: string;
  name: string;
  kind: AgentKind;
  version: string;
  max_attempts: number;
  timeout_seconds: number;
  lease_seconds: number;
  default_run_config: Record<string, unknown>;
  allowed_secret_names: string[];
}

/** The columns of an agent that can be set. */
export interface AgentColumns {
  slug: string;
  name: string;
  version: string;
  description: string;
  config: Record<string, unknown>;
  maxAttempts: number;
  timeoutSeconds: number;
  leaseSeconds: number;
  retry: RetryPolicy;
  concurrencyLimit: number | null;
  concurrencyKeyLimit: number;
  concurrencyStrategy: ConcurrencyStrategy;
  defaultRunConfig: Record<string, unknown>;
  allowedSecretNames: readonly string[];
}

export interface NewAgentRow extends AgentColumns {
  id: string;
  kind: AgentKind;
}

/** A change of some columns; the others stay. */
export type AgentChanges = { [Column in keyof AgentColumns]?: AgentColumns[Column] | undefined };

/** Why an agent is not deleted. */
export type AgentUse = 'default' | 'runs';

const AGENT_JSON = sql`json_build_object('id', a.id, 'slug', a.slug, 'name', a.name, 'kind', a.kind, 'version', a.version,
  'description', a.description, 'config', a.config, 'max_attempts', a.max_attempts, 'timeout_seconds', a.timeout_seconds,
  'lease_seconds', a.lease_seconds, 'retry', json_build_object('min_seconds', a.retry_min_seconds,
  'max_seconds', a.retry_max_seconds, 'factor', a.retry_factor, 'jitter', a.retry_jitter), 'concurrency_limit', a.concurrency_limit,
  'concurrency_key_limit', a.concurrency_key_limit, 'concurrency_strategy', a.concurrency_strategy, 'paused_at', iso_utc(a.paused_at),
  'pause_reason', a.pause_reason, 'default_run_config', a.default_run_config,
  'allowed_secret_names', to_json(a.allowed_secret_names), 'created_at', iso_utc(a.created_at), 'updated_at', iso_utc(a.updated_at))`;

const ROW_JSON = sql`json_build_object('id', a.id, 'slug', a.slug, 'name', a.name, 'kind', a.kind, 'version', a.version,
  'max_attempts', a.max_attempts, 'timeout_seconds', a.timeout_seconds, 'lease_seconds', a.lease_seconds,
  'default_run_config', a.default_run_config, 'allowed_secret_names', to_json(a.allowed_secret_names))`;

/** Every role that reads agents reads all of the organisation's: they say what can be asked for, and hold no secret. */
function present(scope: ReadScope): Sql {
  return sql`${tenant(scope, 'a')} and a.deleted_at is null`;
}

/** What a claim needs to know of an agent. */
export interface AgentIdentity {
  slug: string;
  id: string;
  kind: AgentKind;
}

/** What running an agent needs to know of it. */
export interface AgentForExecution {
  kind: AgentKind;
  config: Record<string, unknown>;
  timeout_seconds: number;
}

@Injectable()
export class AgentsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: AgentListQuery): Promise<KeysetRow<AgentView>[]> {
    const ofSlug = query.slug === undefined ? sql`true` : sql`a.slug = ${query.slug}`;
    const where = sql`${present(scope)} and ${ofSlug} and ${createdBetween('a', query)}`;
    const select = keysetRows('a', page, { item: AGENT_JSON, from: sql`agents a`, where });
    return (await this.database.json<KeysetRow<AgentView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<AgentView | null> {
    return reader.json<AgentView>(
      scope,
      sql`select ${AGENT_JSON} from agents a where a.id = ${id} and ${present(scope)}`,
    );
  }

  /** The agent, locked against other changes until the transaction ends. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<AgentView | null> {
    return tx.json<AgentView>(
      scope,
      sql`select ${AGENT_JSON} from agents a where a.id = ${id} and ${present(scope)} for no key update of a`,
    );
  }

  /** The agent, locked against changes and against whatever makes runs of it; null where it is gone. */
  async lockForDeletion(scope: WriteScope, tx: Tx, id: string): Promise<AgentView | null> {
    return tx.json<AgentView>(
      scope,
      sql`select ${AGENT_JSON} from agents a where a.id = ${id} and ${present(scope)} for update of a`,
    );
  }

  /** The agent of this slug and id, as far as they are given; with neither, the organisation's default. */
  async resolve(
    scope: ReadScope,
    tx: Tx | null,
    named: { slug?: string | undefined; id?: string | undefined },
  ): Promise<AgentRow | null> {
    const conditions = [
      ...(named.slug === undefined ? [] : [sql`a.slug = ${named.slug}`]),
      ...(named.id === undefined ? [] : [sql`a.id = ${named.id}`]),
    ];
    const chosen =
      conditions.length > 0
        ? all(conditions)
        : sql`a.id = (select o.default_agent_id from organizations o where o.id = ${scope.organizationId})`;
    const reader: Reader = tx ?? this.database;
    return reader.json<AgentRow>(scope, sql`select ${ROW_JSON} from agents a where ${present(scope)} and ${chosen}`);
  }

  async idsBySlug(scope: ReadScope, slugs: readonly string[]): Promise<AgentIdentity[]> {
    const found = await this.database.json<AgentIdentity[]>(
      scope,
      sql`select coalesce(json_agg(json_build_object('slug', a.slug, 'id', a.id, 'kind', a.kind)), '[]') from agents a
        where ${present(scope)} and a.slug = any(${slugs}::text[])`,
    );
    return found ?? [];
  }

  /** Which of these ids are agents of the organisation. */
  async known(scope: ReadScope, tx: Tx, ids: readonly string[]): Promise<string[]> {
    const found = await tx.json<string[]>(
      scope,
      sql`select coalesce(json_agg(a.id), '[]') from agents a where ${present(scope)} and a.id = any(${ids}::uuid[])`,
    );
    return found ?? [];
  }

  /** How an agent is run, deleted or not: a run that is under way is still its. */
  async forExecution(scope: ReadScope, id: string): Promise<AgentForExecution | null> {
    return this.database.json<AgentForExecution>(
      scope,
      sql`select json_build_object('kind', a.kind, 'config', a.config, 'timeout_seconds', a.timeout_seconds)
        from agents a where ${tenant(scope, 'a')} and a.id = ${id}`,
    );
  }

  /** @throws DomainError `already-exists` for a slug in use */
  async insert(scope: WriteScope, tx: Tx, agent: NewAgentRow): Promise<void> {
    await this.rowLimits.assertRoom(scope, tx, 'agents');
    try {
      await tx.execute(sql`
        insert into agents (organization_id, id, slug, name, kind, version, description, config, max_attempts, timeout_seconds,
          lease_seconds, retry_min_seconds, retry_max_seconds, retry_factor, retry_jitter, concurrency_limit, concurrency_key_limit,
          concurrency_strategy, default_run_config, allowed_secret_names)
        values (${scope.organizationId}, ${agent.id}, ${agent.slug}, ${agent.name}, ${agent.kind}, ${agent.version},
          ${agent.description}, ${jsonb(agent.config)}, ${agent.maxAttempts}, ${agent.timeoutSeconds}, ${agent.leaseSeconds},
          ${agent.retry.min_seconds}, ${agent.retry.max_seconds}, ${agent.retry.factor}, ${agent.retry.jitter}, ${agent.concurrencyLimit},
          ${agent.concurrencyKeyLimit}, ${agent.concurrencyStrategy}, ${jsonb(agent.defaultRunConfig)}, ${agent.allowedSecretNames}::text[])`);
    } catch (error) {
      throw slugTaken(error);
    }
  }

  /** @throws DomainError `already-exists` for a slug in use */
  async update(scope: WriteScope, tx: Tx, id: string, columns: AgentChanges): Promise<void> {
    const set = assignments({
      slug: parameter(columns.slug),
      name: parameter(columns.name),
      version: parameter(columns.version),
      description: parameter(columns.description),
      config: columns.config === undefined ? undefined : jsonb(columns.config),
      max_attempts: parameter(columns.maxAttempts),
      timeout_seconds: parameter(columns.timeoutSeconds),
      lease_seconds: parameter(columns.leaseSeconds),
      retry_min_seconds: parameter(columns.retry?.min_seconds),
      retry_max_seconds: parameter(columns.retry?.max_seconds),
      retry_factor: parameter(columns.retry?.factor),
      retry_jitter: parameter(columns.retry?.jitter),
      concurrency_limit: parameter(columns.concurrencyLimit),
      concurrency_key_limit: parameter(columns.concurrencyKeyLimit),
      concurrency_strategy: parameter(columns.concurrencyStrategy),
      default_run_config: columns.defaultRunConfig === undefined ? undefined : jsonb(columns.defaultRunConfig),
      allowed_secret_names:
        columns.allowedSecretNames === undefined ? undefined : sql`${columns.allowedSecretNames}::text[]`,
      updated_at: sql`clock_timestamp()`,
    });
    try {
      await tx.execute(
        sql`update agents set ${join(set)} where organization_id = ${scope.organizationId} and id = ${id}`,
      );
    } catch (error) {
      throw slugTaken(error);
    }
  }

  /** What still needs the agent; null where nothing does. Locks the organisation, so that the agent does not become its default meanwhile. */
  async use(scope: WriteScope, tx: Tx, id: string): Promise<AgentUse | null> {
    const organization = await tx.row<{ is_default: boolean }>(sql`
      select coalesce(default_agent_id = ${id}, false) as is_default from organizations where id = ${scope.organizationId}
      for no key update`);
    if (organization?.is_default === true) {
      return 'default';
    }
    const run = await tx.row(sql`
      select 1 from runs r where r.organization_id = ${scope.organizationId} and r.agent_id = ${id} and r.finished_at is null limit 1`);
    return run === null ? null : 'runs';
  }

  /** Marks the agent deleted: its slug is free, tasks and runs that were its still say so. */
  async remove(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await tx.execute(sql`
      update agents set deleted_at = clock_timestamp(), updated_at = clock_timestamp()
      where organization_id = ${scope.organizationId} and id = ${id} and deleted_at is null`);
  }
}

function parameter(value: string | number | boolean | null | undefined): Sql | undefined {
  return value === undefined ? undefined : sql`${value}`;
}

function slugTaken(error: unknown): unknown {
  const failure = isRetryable(error) ? error : toDomainError(error);
  return failure instanceof DomainError && failure.code === 'already-exists'
    ? new DomainError('already-exists', 'Another agent of the organization has this slug.', { cause: error })
    : failure;
}
