/**
 * The SQL of a scope: the table of rights in docs/access.md, written once.
 *
 * `readableTask`, `contributableTask` and `manageableTask` are its three columns; each is a condition over one task row. The
 * cheap cases come first and shape the statement, so that an admin's list has no subselect at all.
 *
 * | path                                   | read                       | contribute            | manage     |
 * |----------------------------------------|----------------------------|-----------------------|------------|
 * | reach `all` (owner, admin, system)     | yes                        | yes                   | yes        |
 * | its creator                            | yes                        | yes                   | yes        |
 * | its team, not private                  | any role                   | maintainer            | maintainer |
 * | a share of it                          | any role in that team      | `write` and not viewer there | no  |
 * | a share of its project, not private    | any role in that team      | `write` and not viewer there | no  |
 * | visibility `organization`              | everyone                   | no                    | no         |
 * | reach `open`, not private              | yes                        | no                    | no         |
 * | asked by one of its runs that waits    | yes                        | only that answer (modules/runs) | no |
 */
import type { ReadScope } from '../access/index.js';
import { type Sql, any, raw, sql } from './sql.js';

/** True while the caller is who the cache says: same epoch, not disabled, not expired. Belongs in every scoped statement. */
export function live(scope: ReadScope): Sql {
  if (scope.isSystem) {
    return sql`true`;
  }
  const { organizationId, principalId, epoch } = scope.actor;
  return sql`exists (select 1 from principals p where p.organization_id = ${organizationId} and p.id = ${principalId}
    and p.epoch = ${epoch} and p.disabled_at is null and (p.expires_at is null or p.expires_at > clock_timestamp()))`;
}

/** The row is of the scope's organisation. */
export function tenant(scope: ReadScope, alias: string): Sql {
  return sql`${raw(alias)}.organization_id = ${scope.organizationId}`;
}

/** The task `alias` exists for this actor. */
export function readableTask(scope: ReadScope, alias: string): Sql {
  const t = raw(alias);
  const present = sql`${tenant(scope, alias)} and ${t}.deleted_at is null`;
  if (scope.reach === 'all') {
    return present;
  }
  const created = sql`${t}.created_by = ${scope.actor.creatorId}`;
  if (scope.reach === 'open') {
    return sql`${present} and (${t}.visibility <> 'private' or ${created})`;
  }
  const paths = [created, sql`${t}.visibility = 'organization'`];
  const teams = scope.teamIds;
  if (teams.length > 0) {
    paths.push(
      taskSharedWith(t, teams, false),
      sql`(${t}.visibility <> 'private' and (${t}.team_id = any(${teams}::uuid[]) or ${projectSharedWith(t, teams, false)}))`,
    );
  }
  const userId = scope.actingUserId;
  if (userId !== null) {
    // Not correlated, so that a list asks it once, of an index that holds open questions only.
    paths.push(sql`${t}.id = any(array(select asking.task_id from runs asking where asking.organization_id = ${scope.organizationId}
      and asking.status = 'waiting' and asking.wait_assignee_id = ${userId}::uuid))`);
  }
  return sql`${present} and ${any(paths)}`;
}

/** The actor may edit, run, message, answer, cancel, replay and add to the task `alias`: `read_only` is its negation. */
export function contributableTask(scope: ReadScope, alias: string): Sql {
  const t = raw(alias);
  const base = writable(scope, alias);
  const active = scope.activeTeamIds;
  if (scope.reach === 'all' || !scope.canWrite || active.length === 0) {
    return base;
  }
  const shared = any([
    taskSharedWith(t, active, true),
    sql`(${t}.visibility <> 'private' and ${projectSharedWith(t, active, true)})`,
  ]);
  return sql`(${base} or (${tenant(scope, alias)} and ${t}.deleted_at is null and ${shared}))`;
}

/** The actor may delete, share and move the task `alias`, and change who sees it. */
export function manageableTask(scope: ReadScope, alias: string): Sql {
  return writable(scope, alias);
}

/** The callback URL of the task `alias`, for those who may set it: it often carries a token of the receiver. */
export function shownCallback(scope: ReadScope, alias: string): Sql {
  const t = raw(alias);
  return sql`case when ${t}.callback is not null and ${manageableTask(scope, alias)} then ${t}.callback end`;
}

function writable(scope: ReadScope, alias: string): Sql {
  const t = raw(alias);
  if (!scope.canWrite) {
    return sql`false`;
  }
  const present = sql`${tenant(scope, alias)} and ${t}.deleted_at is null`;
  if (scope.reach === 'all') {
    return sql`(${present})`;
  }
  const paths = [sql`${t}.created_by = ${scope.actor.creatorId}`];
  const maintained = scope.maintainedTeamIds;
  if (maintained.length > 0) {
    paths.push(sql`(${t}.visibility <> 'private' and ${t}.team_id = any(${maintained}::uuid[]))`);
  }
  return sql`(${present} and ${any(paths)})`;
}

/** The task `t` itself is shared with one of the teams. Somebody chose that for this task, so it counts for a private one too. */
export function taskSharedWith(t: Sql, teams: readonly string[], writeOnly: boolean): Sql {
  return sql`exists (select 1 from task_shares s where s.organization_id = ${t}.organization_id and s.task_id = ${t}.id
      and s.team_id = any(${teams}::uuid[]) ${writeOnly ? sql`and s.access = 'write'` : sql``})`;
}

/** The project of the task `t` is shared with one of the teams. */
export function projectSharedWith(t: Sql, teams: readonly string[], writeOnly: boolean): Sql {
  return sql`(${t}.project_id is not null and exists (select 1 from project_shares s where s.organization_id = ${t}.organization_id
      and s.project_id = ${t}.project_id and s.team_id = any(${teams}::uuid[]) ${writeOnly ? sql`and s.access = 'write'` : sql``}))`;
}
