/** Runs that start runs: the statements of parents and children. A child is a run of the same task with an agent of its own. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { live, readableTask, tenant } from '../../../database/scope.sql.js';
import { type Sql, raw, sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import type { RunTree } from '../interaction/interaction.schema.js';
import { QUEUED_EVENT } from '../core/state-change.query.js';

/** A child as its parent asks for it, everything decided. */
export interface NewChild {
  id: string;
  agentId: string;
  payload: unknown;
  runConfig: unknown;
  /** The parent's where null. */
  priority: number | null;
}

export interface StartedChild {
  id: string;
  number: number;
}

/** Nodes of a tree that are shown. */
const MAX_TREE_NODES = 1_000;
/** Outputs of children told with one claim, together; a claim of a hundred such runs must still fit into memory. */
const TOLD_OUTPUT_BYTES = 4 * 1024 * 1024;

/**
 * What a run's last wait ended with, as its next worker is told; of children, what became of each. Where their outputs are too many
 * bytes together, those of the oldest are left out, which says so.
 */
export function resumeJson(alias: string): Sql {
  const r = raw(alias);
  return sql`case when ${r}.resume ? 'children' then jsonb_build_object('children', (
      select coalesce(jsonb_agg(jsonb_build_object('id', k.id, 'number', k.number, 'agent_id', k.agent_id, 'status', k.status,
          'output', case when k.told_bytes <= ${TOLD_OUTPUT_BYTES}::int then k.output end, 'error', k.error)
          || case when k.told_bytes <= ${TOLD_OUTPUT_BYTES}::int or k.output is null then '{}' else '{"output_omitted": true}'::jsonb end
        order by k.number), '[]'::jsonb)
      from (select c.id, c.number, c.agent_id, c.status, c.output, c.error,
          sum(coalesce(octet_length(c.output::text), 0)) over (order by c.number desc) as told_bytes
        from runs c where c.organization_id = ${r}.organization_id and c.parent_run_id = ${r}.id) k))
    else ${r}.resume end`;
}

/** Ids of a run's children, first to last; a short list, for what links to them. */
export function childIdsJson(alias: string): Sql {
  const r = raw(alias);
  return sql`coalesce((select jsonb_agg(k.id order by k.number) from (
      select c.id, c.number from runs c where c.organization_id = ${r}.organization_id and c.parent_run_id = ${r}.id
      order by c.number limit 100) k), '[]'::jsonb)`;
}

@Injectable()
export class RunTreeRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /** Starts the children of a run whose lease the transaction holds locked. */
  async start(scope: WriteScope, tx: Tx, parentId: string, children: readonly NewChild[]): Promise<StartedChild[]> {
    await this.rowLimits.assertRoom(scope, tx, 'openRuns', children.length);
    const wanted = JSON.stringify(
      children.map((child, index) => ({
        position: index + 1,
        id: child.id,
        agent_id: child.agentId,
        payload: child.payload,
        run_config: child.runConfig,
        priority: child.priority,
      })),
    );
    return tx.rows<StartedChild & Record<string, unknown>>(sql`
      with parent as (
        select r.* from runs r where ${tenant(scope, 'r')} and r.id = ${parentId}
      ), task as (
        update tasks t set run_count = t.run_count + ${children.length}::int, updated_at = clock_timestamp() from parent p
        where t.organization_id = p.organization_id and t.id = p.task_id and t.deleted_at is null
        returning t.organization_id, t.id, t.run_count, t.tags, t.metadata
      ), wanted as (
        select w.* from jsonb_to_recordset(${wanted}::jsonb)
          as w (position integer, id uuid, agent_id uuid, payload jsonb, run_config jsonb, priority smallint)
      ), created as (
        insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, priority,
          run_config, payload, tags, metadata, is_test, created_by, queued_at, parent_run_id, root_run_id, depth, last_seq)
        select t.organization_id, w.id, t.id, t.run_count - ${children.length}::int + w.position, a.id, 'queued', a.lease_seconds,
          a.timeout_seconds, a.max_attempts, coalesce(w.priority, p.priority), w.run_config, w.payload, t.tags, t.metadata, p.is_test,
          p.created_by, clock_timestamp(), p.id, p.root_run_id, p.depth + 1, 1
        from task t cross join parent p cross join wanted w
          join agents a on a.organization_id = t.organization_id and a.id = w.agent_id and a.deleted_at is null
        order by w.position
        returning organization_id, id, number, last_seq
      ), logged as (
        ${insertServerEvents('created', [QUEUED_EVENT])}
      )
      select id, number from created order by number`);
  }

  /** How many children the run has had, and how many of them have not ended. */
  async count(scope: WriteScope, tx: Tx, runId: string): Promise<{ all: number; open: number }> {
    const row = await tx.row<{ all: number; open: number }>(
      sql`select count(*)::int as all, (count(*) filter (where c.finished_at is null))::int as open
        from runs c where ${tenant(scope, 'c')} and c.parent_run_id = ${runId}`,
    );
    return row ?? { all: 0, open: 0 };
  }

  /** The children that a batch of this id started, of a run that the caller has or had on lease last. */
  async batch(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    batchId: string,
  ): Promise<{ digest: Buffer; children: StartedChild[] } | null> {
    return tx.row<{ digest: Buffer; children: StartedChild[] }>(sql`
      select b.digest, (select coalesce(json_agg(json_build_object('id', c.id, 'number', c.number) order by c.number), '[]') from runs c
          where c.organization_id = b.organization_id and c.id = any(b.child_ids)) as children
      from run_child_batches b join runs r on r.organization_id = b.organization_id and r.id = b.run_id
      where ${tenant(scope, 'b')} and b.run_id = ${runId} and b.batch_id = ${batchId} and r.claimed_by = ${scope.actor.principalId}
        and ${live(scope)}`);
  }

  async keepBatch(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    batch: { id: string; digest: Buffer; childIds: readonly string[] },
  ): Promise<void> {
    await tx.execute(sql`insert into run_child_batches (organization_id, run_id, batch_id, digest, child_ids)
      values (${scope.organizationId}, ${runId}, ${batch.id}, ${batch.digest}, ${batch.childIds}::uuid[])`);
  }

  /** The whole family of a readable run, from its root down; null where the run is not there for the actor. */
  async tree(scope: ReadScope, runId: string): Promise<RunTree | null> {
    return this.database.json<RunTree>(
      scope,
      sql`select jsonb_build_object('run_id', r.id, 'root_run_id', r.root_run_id, 'truncated', family.size > ${MAX_TREE_NODES}::int,
          'nodes', family.nodes)
        from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        cross join lateral (
          select count(*) as size, jsonb_agg(jsonb_build_object('id', n.id, 'number', n.number, 'parent_run_id', n.parent_run_id,
              'depth', n.depth, 'agent_id', n.agent_id, 'agent', a.slug, 'status', n.status, 'wait_kind', n.wait_kind,
              'attempt', n.attempt, 'created_at', iso_utc(n.created_at), 'started_at', iso_utc(n.started_at),
              'finished_at', iso_utc(n.finished_at)) order by n.place) filter (where n.place <= ${MAX_TREE_NODES}::int) as nodes
          from (
            select m.*, row_number() over (order by m.depth, m.number) as place from (
              (select root.* from runs root where root.organization_id = r.organization_id and root.id = r.root_run_id)
              union all
              (select k.* from runs k where k.organization_id = r.organization_id and k.root_run_id = r.root_run_id
                and k.parent_run_id is not null order by k.number limit ${MAX_TREE_NODES}::int)
            ) m
          ) n join agents a on a.organization_id = n.organization_id and a.id = n.agent_id
        ) family
        where r.id = ${runId} and ${readableTask(scope, 't')}`,
    );
  }

  /** Canceled runs with children that have neither ended nor been asked to: what a cascade that broke off leaves behind. */
  async unfinishedCascades(most: number): Promise<{ organizationId: string; id: string }[]> {
    return this.database.rows(sql`
      select distinct p.organization_id as "organizationId", p.id
      from runs c join runs p on p.organization_id = c.organization_id and p.id = c.parent_run_id
      where c.parent_run_id is not null and c.finished_at is null and c.cancel_requested_at is null and p.status = 'canceled'
      limit ${most}::int`);
  }
}
