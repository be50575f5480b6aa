/**
 * Who sees which part of the directory: teams, users, projects, accounts.
 *
 * People, and keys that act as a person or beside the teams, see all of their organisation's; that is how they name whom to share
 * with. A key held to some teams sees what its teams touch: those teams, their members, projects that are theirs, shared with them
 * or made by the key, and accounts that are nobody's, of those members, or made by the key. It was held to the teams so that it
 * could be handed to somebody outside.
 */
import type { ReadScope } from '../../access/index.js';
import { tenant } from '../../database/scope.sql.js';
import { type Sql, any, raw, sql } from '../../database/sql.js';

/** The team `alias` is there for the caller. */
export function readableTeam(scope: ReadScope, alias: string): Sql {
  return sql`${tenant(scope, alias)} and ${inDirectory(scope, [ofTeams(scope, sql`${raw(alias)}.id`)])}`;
}

/** The user `alias` is there for the caller. */
export function readableUser(scope: ReadScope, alias: string): Sql {
  const u = raw(alias);
  const paths = [sql`${u}.id = ${scope.actor.creatorId}`, inTeams(scope, sql`${u}.organization_id`, sql`${u}.id`)];
  return sql`${tenant(scope, alias)} and ${u}.deleted_at is null and ${inDirectory(scope, paths)}`;
}

/** The project `alias` is there for the caller. */
export function readableProject(scope: ReadScope, alias: string): Sql {
  const project = raw(alias);
  const paths = [
    sql`${project}.created_by = ${scope.actor.creatorId}`,
    ofTeams(scope, sql`${project}.team_id`),
    sql`exists (select 1 from project_shares s where s.organization_id = ${project}.organization_id and s.project_id = ${project}.id
      and ${ofTeams(scope, sql`s.team_id`)})`,
  ];
  return sql`${tenant(scope, alias)} and ${inDirectory(scope, paths)}`;
}

/** The account `alias` is there for the caller. */
export function readableAccount(scope: ReadScope, alias: string): Sql {
  const account = raw(alias);
  const paths = [
    sql`${account}.user_id is null`,
    sql`${account}.created_by = ${scope.actor.creatorId}`,
    inTeams(scope, sql`${account}.organization_id`, sql`${account}.user_id`),
  ];
  return sql`${tenant(scope, alias)} and ${inDirectory(scope, paths)}`;
}

function inDirectory(scope: ReadScope, paths: readonly Sql[]): Sql {
  return scope.actor.heldToTeams ? any(paths) : sql`true`;
}

function ofTeams(scope: ReadScope, teamId: Sql): Sql {
  return sql`${teamId} = any(${scope.teamIds}::uuid[])`;
}

function inTeams(scope: ReadScope, organizationId: Sql, userId: Sql): Sql {
  return sql`exists (select 1 from team_members m where m.organization_id = ${organizationId} and m.user_id = ${userId}
    and ${ofTeams(scope, sql`m.team_id`)})`;
}
