import { Injectable } from '@nestjs/common';
import type { ReadScope, TeamRole, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { type Sql, assignments, join, sql } from '../../../database/sql.js';
import type { ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { readableTeam, readableUser } from '../directory.query.js';
import { withMessage } from '../with-message.js';
import { TeamEntity } from './team.entity.js';
import type { TeamMemberView, TeamPatch, TeamView } from './teams.schema.js';

type Reader = Pick<Tx, 'json'>;

const SLUG_TAKEN = 'Another team of the organization has this slug.';

const TEAM_JSON = sql`json_build_object('id', t.id, 'name', t.name, 'slug', t.slug,
  'created_at', iso_utc(t.created_at), 'updated_at', iso_utc(t.updated_at))`;

const MEMBER_JSON = sql`json_build_object('user_id', m.user_id, 'email', m.email, 'display_name', m.display_name, 'role', m.role,
  'created_at', iso_utc(m.created_at), 'updated_at', iso_utc(m.updated_at))`;

/** Members by the person's id, so that pages are cut as those of other lists are. */
const MEMBERS = sql`(select tm.*, tm.user_id as id, u.email, u.display_name from team_members tm
  join users u on u.organization_id = tm.organization_id and u.id = tm.user_id and u.deleted_at is null) m`;

/** The actor may change the team `t` and its members: admins all, others those they maintain. */
function maintained(scope: ReadScope): Sql {
  if (!scope.canWrite) {
    return sql`false`;
  }
  return scope.reach === 'all' ? sql`true` : sql`t.id = any(${scope.maintainedTeamIds}::uuid[])`;
}

@Injectable()
export class TeamsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: ListQuery): Promise<KeysetRow<TeamView>[]> {
    const where = sql`${readableTeam(scope, 't')} and ${createdBetween('t', query)}`;
    const select = keysetRows('t', page, { item: TEAM_JSON, from: sql`teams t`, where });
    return (await this.database.json<KeysetRow<TeamView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<TeamView | null> {
    return reader.json<TeamView>(
      scope,
      sql`select ${TEAM_JSON} from teams t where t.id = ${id} and ${readableTeam(scope, 't')}`,
    );
  }

  /** Whether the actor may change the team, which is locked until the transaction ends; null where it is not there for them. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<{ maintained: boolean } | null> {
    return tx.json<{ maintained: boolean }>(
      scope,
      sql`select json_build_object('maintained', ${maintained(scope)}) from teams t
        where t.id = ${id} and ${readableTeam(scope, 't')} for no key update of t`,
    );
  }

  async insert(scope: WriteScope, tx: Tx, team: { id: string; name: string; slug: string }): Promise<void> {
    await this.rowLimits.assertRoom(scope, tx, 'teams');
    try {
      await tx.manager.insert(TeamEntity, { organizationId: scope.organizationId, ...team });
    } catch (error) {
      throw withMessage(error, 'already-exists', SLUG_TAKEN);
    }
  }

  async update(scope: WriteScope, tx: Tx, id: string, patch: TeamPatch): Promise<void> {
    const columns = assignments({
      name: patch.name === undefined ? undefined : sql`${patch.name}`,
      slug: patch.slug === undefined ? undefined : sql`${patch.slug}`,
      updated_at: sql`clock_timestamp()`,
    });
    try {
      await tx.execute(
        sql`update teams set ${join(columns)} where organization_id = ${scope.organizationId} and id = ${id}`,
      );
    } catch (error) {
      throw withMessage(error, 'already-exists', SLUG_TAKEN);
    }
  }

  /** No key is limited to the team from here on, until the transaction ends. */
  async lockForRemoval(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await tx.execute(
      sql`select 1 from teams where organization_id = ${scope.organizationId} and id = ${id} for update`,
    );
  }

  /** Deletes the team with its memberships and what was shared with it; returns who were its members. */
  async remove(scope: WriteScope, tx: Tx, id: string): Promise<string[]> {
    const { organizationId } = scope;
    const members = await tx.rows<{ user_id: string }>(sql`
      delete from team_members where organization_id = ${organizationId} and team_id = ${id} returning user_id`);
    try {
      await tx.execute(sql`delete from teams where organization_id = ${organizationId} and id = ${id}`);
    } catch (error) {
      throw withMessage(
        error,
        'still-referenced',
        'The team still has tasks, projects or API keys; move or delete them first.',
      );
    }
    return members.map((member) => member.user_id);
  }

  async listMembers(
    scope: ReadScope,
    teamId: string,
    page: KeysetPage,
    query: ListQuery,
  ): Promise<KeysetRow<TeamMemberView>[] | null> {
    const where = sql`m.organization_id = t.organization_id and m.team_id = t.id and ${createdBetween('m', query)}`;
    const rows = keysetRows('m', page, { item: MEMBER_JSON, from: MEMBERS, where });
    return this.database.json<KeysetRow<TeamMemberView>[]>(
      scope,
      sql`select (${rows}) from teams t where t.id = ${teamId} and ${readableTeam(scope, 't')}`,
    );
  }

  async findMember(scope: ReadScope, teamId: string, userId: string, reader: Reader): Promise<TeamMemberView | null> {
    return reader.json<TeamMemberView>(
      scope,
      sql`select ${MEMBER_JSON} from ${MEMBERS} where m.organization_id = ${scope.organizationId} and m.team_id = ${teamId}
        and m.user_id = ${userId}`,
    );
  }

  /** Makes a person a member of this role; returns whether that changed anything. Does nothing where there is no such person. */
  async putMember(scope: WriteScope, tx: Tx, teamId: string, userId: string, role: TeamRole): Promise<boolean> {
    const changed = await tx.execute(sql`
      insert into team_members as m (organization_id, team_id, user_id, role)
      select u.organization_id, ${teamId}::uuid, u.id, ${role}::text from users u where u.id = ${userId} and ${readableUser(scope, 'u')}
      on conflict (organization_id, team_id, user_id) do update set role = excluded.role, updated_at = clock_timestamp()
        where m.role <> excluded.role`);
    return changed > 0;
  }

  /** @returns false where the person is no member */
  async removeMember(scope: WriteScope, tx: Tx, teamId: string, userId: string): Promise<boolean> {
    const gone = await tx.execute(sql`
      delete from team_members where organization_id = ${scope.organizationId} and team_id = ${teamId} and user_id = ${userId}`);
    return gone > 0;
  }
}
