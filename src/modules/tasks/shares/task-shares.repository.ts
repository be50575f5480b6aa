import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { readableTask, tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import { readableTeam } from '../../organizations/index.js';
import type { TaskShare } from '../tasks.schema.js';

/** One row of a page of shares; the team is its id. */
export interface ShareRow {
  item: TaskShare;
  at: string;
  id: string;
}

export interface SharePosition {
  at: string;
  id: string;
}

const SHARE = sql`json_build_object('task_id', s.task_id, 'team_id', s.team_id, 'access', s.access, 'created_at', iso_utc(s.created_at))`;

@Injectable()
export class TaskSharesRepository {
  constructor(private readonly database: Database) {}

  /** Shares of a task, oldest first, at most `limit`; null where the task is not there for this actor. */
  async list(scope: ReadScope, taskId: string, limit: number, after: SharePosition | null): Promise<ShareRow[] | null> {
    const begin =
      after === null ? sql`true` : sql`(s.created_at, s.team_id) > (${after.at}::timestamptz, ${after.id}::uuid)`;
    return this.database.json<ShareRow[]>(
      scope,
      sql`select (select coalesce(json_agg(json_build_object('item', ${SHARE}, 'at', s.created_at::text, 'id', s.team_id)
            order by s.created_at, s.team_id), '[]'::json)
          from (select s.* from task_shares s where s.organization_id = t.organization_id and s.task_id = t.id and ${begin}
            order by s.created_at, s.team_id limit ${limit}) s)
        from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')}`,
    );
  }

  /** Shares a task with a team, or changes the access; null where there is no such team for this actor. */
  async put(
    scope: WriteScope,
    tx: Tx,
    taskId: string,
    teamId: string,
    access: 'read' | 'write',
  ): Promise<TaskShare | null> {
    await tx.execute(sql`
      insert into task_shares as s (organization_id, task_id, team_id, access)
      select m.organization_id, ${taskId}, m.id, ${access} from teams m where ${readableTeam(scope, 'm')} and m.id = ${teamId}
      on conflict (organization_id, task_id, team_id) do update set access = excluded.access`);
    return tx.json<TaskShare>(
      scope,
      sql`select ${SHARE} from task_shares s where ${tenant(scope, 's')} and s.task_id = ${taskId} and s.team_id = ${teamId}`,
    );
  }

  /** False where the task is not shared with the team. */
  async delete(scope: WriteScope, tx: Tx, taskId: string, teamId: string): Promise<boolean> {
    const deleted = await tx.execute(sql`
      delete from task_shares s where ${tenant(scope, 's')} and s.task_id = ${taskId} and s.team_id = ${teamId}`);
    return deleted > 0;
  }
}
