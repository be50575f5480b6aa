import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { createdBetween, type KeysetPage, type KeysetRow, keysetRows } from '../../database/keyset.sql.js';
import { readableTask } from '../../database/scope.sql.js';
import { jsonb, sql } from '../../database/sql.js';
import type { ListQuery } from '../../http/pagination/cursor-paginator.js';
import { messageJson } from './messages.query.js';
import type { Message, MessagePart, MessageRole } from './messages.schema.js';

export interface MessageRow {
  id: string;
  taskId: string;
  runId: string | null;
  role: MessageRole;
  parts: readonly MessagePart[];
  externalId: string | null;
  createdBy: string | null;
}

@Injectable()
export class MessagesRepository {
  constructor(private readonly database: Database) {}

  /**
   * Stores the message; null where the run has one of this external id already, or there is no such task. Whether the caller may write
   * to the task is the caller's to have asked, in the same transaction.
   */
  async insert(scope: WriteScope, tx: Tx, row: MessageRow): Promise<Message | null> {
    const stored = await tx.row<{ message: Message }>(sql`
      insert into messages as m (organization_id, id, task_id, run_id, role, parts, external_id, created_by)
      select t.organization_id, ${row.id}::uuid, t.id, ${row.runId}::uuid, ${row.role}, ${jsonb(row.parts)}, ${row.externalId}::text, ${row.createdBy}::uuid
      from tasks t where t.organization_id = ${scope.organizationId} and t.id = ${row.taskId} and t.deleted_at is null
      on conflict (organization_id, run_id, external_id) where external_id is not null do nothing
      returning ${messageJson('m')} as message`);
    return stored?.message ?? null;
  }

  /** Stores messages of tasks made in the same transaction, in the order given; one statement, however many. */
  async insertAll(scope: WriteScope, tx: Tx, messages: readonly MessageRow[]): Promise<void> {
    const rows = messages.map(({ id, taskId, runId, role, parts, createdBy }) => ({
      id,
      task_id: taskId,
      run_id: runId,
      role,
      parts,
      created_by: createdBy,
    }));
    await tx.execute(sql`
      insert into messages (organization_id, id, task_id, run_id, role, parts, created_by)
      select ${scope.organizationId}::uuid, g.id, g.task_id, g.run_id, g.role, g.parts, g.created_by
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        as g (id uuid, task_id uuid, run_id uuid, role text, parts jsonb, created_by uuid)`);
  }

  /** The message that a run named so. */
  async findByExternalId(scope: WriteScope, tx: Tx, runId: string, externalId: string): Promise<Message | null> {
    const found = await tx.row<{ message: Message }>(sql`
      select ${messageJson('m')} as message from messages m
      where m.organization_id = ${scope.organizationId} and m.run_id = ${runId} and m.external_id = ${externalId}`);
    return found?.message ?? null;
  }

  /** Those of the ids that are assets of the task. */
  async assetsOfTask(scope: WriteScope, tx: Tx, taskId: string, assetIds: readonly string[]): Promise<Set<string>> {
    const rows = await tx.rows<{ id: string }>(sql`
      select a.id from assets a
      where a.organization_id = ${scope.organizationId} and a.task_id = ${taskId} and a.id = any(${assetIds}::uuid[])`);
    return new Set(rows.map((row) => row.id));
  }

  /** A page of a task's messages; null where the task is absent or not readable. */
  async list(
    scope: ReadScope,
    taskId: string,
    query: ListQuery,
    page: KeysetPage,
  ): Promise<KeysetRow<Message>[] | null> {
    return this.database.json<KeysetRow<Message>[]>(
      scope,
      sql`select (${keysetRows('m', page, {
        item: messageJson('m'),
        from: sql`messages m`,
        where: sql`m.organization_id = t.organization_id and m.task_id = t.id and ${createdBetween('m', query)}`,
      })}) from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')}`,
    );
  }
}
