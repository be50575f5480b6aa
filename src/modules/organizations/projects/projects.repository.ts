import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { type Sql, assignments, join, sql } from '../../../database/sql.js';
import type { ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { readableProject, readableTeam } from '../directory.query.js';
import { ProjectEntity } from './project.entity.js';
import type { ProjectListQuery, ProjectPatch, ProjectShareView, ProjectView } from './projects.schema.js';
import { withMessage } from '../with-message.js';

type Reader = Pick<Tx, 'json'>;

const PROJECT_JSON = sql`json_build_object('id', pr.id, 'name', pr.name, 'team_id', pr.team_id, 'created_by', pr.created_by,
  'created_at', iso_utc(pr.created_at), 'updated_at', iso_utc(pr.updated_at))`;

const SHARE_JSON = sql`json_build_object('project_id', sh.project_id, 'team_id', sh.team_id, 'access', sh.access,
  'created_at', iso_utc(sh.created_at))`;

/** Shares by their team's id, so that pages are cut as those of other lists are. */
const SHARES = sql`(select ps.*, ps.team_id as id from project_shares ps) sh`;

/** The actor may change, share and delete the project `pr`: admins all, others what they created or what is of teams they maintain. */
function managed(scope: ReadScope): Sql {
  if (!scope.canWrite) {
    return sql`false`;
  }
  const { creatorId } = scope.actor;
  return scope.reach === 'all'
    ? sql`true`
    : sql`(pr.created_by = ${creatorId} or coalesce(pr.team_id = any(${scope.maintainedTeamIds}::uuid[]), false))`;
}

/** The actor may put projects into the team `t`: whoever acts in it, and whoever stands beside the teams. */
function active(scope: ReadScope): Sql {
  return scope.reach === 'teams' ? sql`t.id = any(${scope.activeTeamIds}::uuid[])` : sql`true`;
}

@Injectable()
export class ProjectsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: ProjectListQuery): Promise<KeysetRow<ProjectView>[]> {
    const ofTeam = query.team_id === undefined ? sql`true` : sql`pr.team_id = ${query.team_id}`;
    const where = sql`${readableProject(scope, 'pr')} and ${ofTeam} and ${createdBetween('pr', query)}`;
    const select = keysetRows('pr', page, { item: PROJECT_JSON, from: sql`projects pr`, where });
    return (await this.database.json<KeysetRow<ProjectView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<ProjectView | null> {
    return reader.json<ProjectView>(
      scope,
      sql`select ${PROJECT_JSON} from projects pr where pr.id = ${id} and ${readableProject(scope, 'pr')}`,
    );
  }

  /** Whether the actor may change the project, which is locked until the transaction ends; null where it is not there for them. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<{ managed: boolean } | null> {
    return tx.json<{ managed: boolean }>(
      scope,
      sql`select json_build_object('managed', ${managed(scope)}) from projects pr
        where pr.id = ${id} and ${readableProject(scope, 'pr')} for no key update of pr`,
    );
  }

  /** Whether the actor may put projects into the team, which stays until the transaction ends; null where it is not there for them. */
  async team(scope: WriteScope, tx: Tx, teamId: string): Promise<{ active: boolean } | null> {
    return tx.json<{ active: boolean }>(
      scope,
      sql`select json_build_object('active', ${active(scope)}) from teams t
        where t.id = ${teamId} and ${readableTeam(scope, 't')} for key share of t`,
    );
  }

  async insert(scope: WriteScope, tx: Tx, project: { id: string; name: string; teamId: string | null }): Promise<void> {
    const { organizationId, actor } = scope;
    await this.rowLimits.assertRoom(scope, tx, 'projects');
    await tx.manager.insert(ProjectEntity, { organizationId, ...project, createdBy: actor.creatorId });
  }

  async update(scope: WriteScope, tx: Tx, id: string, patch: ProjectPatch): Promise<void> {
    const columns = assignments({
      name: patch.name === undefined ? undefined : sql`${patch.name}`,
      team_id: patch.team_id === undefined ? undefined : sql`${patch.team_id}::uuid`,
      updated_at: sql`clock_timestamp()`,
    });
    await tx.execute(
      sql`update projects set ${join(columns)} where organization_id = ${scope.organizationId} and id = ${id}`,
    );
  }

  /** Deletes the project and its shares. */
  async remove(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    try {
      await tx.execute(sql`delete from projects where organization_id = ${scope.organizationId} and id = ${id}`);
    } catch (error) {
      throw withMessage(error, 'still-referenced', 'The project still has tasks; move or delete them first.');
    }
  }

  async listShares(
    scope: ReadScope,
    id: string,
    page: KeysetPage,
    query: ListQuery,
  ): Promise<KeysetRow<ProjectShareView>[] | null> {
    const where = sql`sh.organization_id = pr.organization_id and sh.project_id = pr.id and ${createdBetween('sh', query)}`;
    const rows = keysetRows('sh', page, { item: SHARE_JSON, from: SHARES, where });
    return this.database.json<KeysetRow<ProjectShareView>[]>(
      scope,
      sql`select (${rows}) from projects pr where pr.id = ${id} and ${readableProject(scope, 'pr')}`,
    );
  }

  async putShare(
    scope: WriteScope,
    tx: Tx,
    share: { projectId: string; teamId: string; access: 'read' | 'write' },
  ): Promise<void> {
    await tx.execute(sql`
      insert into project_shares (organization_id, project_id, team_id, access)
      values (${scope.organizationId}, ${share.projectId}, ${share.teamId}, ${share.access})
      on conflict (organization_id, project_id, team_id) do update set access = excluded.access`);
  }

  async findShare(
    scope: ReadScope,
    projectId: string,
    teamId: string,
    reader: Reader,
  ): Promise<ProjectShareView | null> {
    return reader.json<ProjectShareView>(
      scope,
      sql`select ${SHARE_JSON} from ${SHARES} where sh.organization_id = ${scope.organizationId} and sh.project_id = ${projectId}
        and sh.team_id = ${teamId}`,
    );
  }

  /** @returns false where the project is not shared with the team */
  async removeShare(scope: WriteScope, tx: Tx, projectId: string, teamId: string): Promise<boolean> {
    const gone = await tx.execute(sql`
      delete from project_shares where organization_id = ${scope.organizationId} and project_id = ${projectId} and team_id = ${teamId}`);
    return gone > 0;
  }
}
