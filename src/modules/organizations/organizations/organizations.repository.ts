import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { assignments, join, jsonb, raw, sql, type Sql } from '../../../database/sql.js';
import type { ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { OrganizationEntity } from './organization.entity.js';
import type { OrganizationView } from './organizations.schema.js';
import { withMessage } from '../with-message.js';

type Reader = Pick<Tx, 'json'>;

export interface OrganizationChanges {
  name?: string | undefined;
  defaultAgentId?: string | null | undefined;
  settings?: Record<string, unknown> | undefined;
}

function organizationJson(alias: string): Sql {
  const o = raw(alias);
  return sql`json_build_object('id', ${o}.id, 'slug', ${o}.slug, 'name', ${o}.name, 'default_agent_id', ${o}.default_agent_id,
    'settings', ${o}.settings, 'created_at', iso_utc(${o}.created_at), 'updated_at', iso_utc(${o}.updated_at))`;
}

@Injectable()
export class OrganizationsRepository {
  constructor(private readonly database: Database) {}

  /** The caller's own. */
  async own(scope: ReadScope, reader: Reader = this.database): Promise<OrganizationView | null> {
    return reader.json<OrganizationView>(
      scope,
      sql`select ${organizationJson('o')} from organizations o where o.id = ${scope.organizationId}`,
    );
  }

  /** Any of the instance: for its operator only, as the service has asked the policy. The one list that spans tenants. */
  async unsafelyFindAny(
    scope: WriteScope,
    id: string,
    reader: Reader = this.database,
  ): Promise<OrganizationView | null> {
    return reader.json<OrganizationView>(
      scope,
      sql`select ${organizationJson('o')} from organizations o where o.id = ${id}`,
    );
  }

  /** All of the instance; see {@link unsafelyFindAny}. */
  async unsafelyListAll(scope: WriteScope, page: KeysetPage, query: ListQuery): Promise<KeysetRow<OrganizationView>[]> {
    const rows = await this.database.json<KeysetRow<OrganizationView>[]>(
      scope,
      keysetRows('o', page, {
        item: organizationJson('o'),
        from: sql`organizations o`,
        where: createdBetween('o', query),
      }),
    );
    return rows ?? [];
  }

  async insert(
    scope: WriteScope,
    tx: Tx,
    organization: { name: string; slug: string; operatesInstance: boolean },
  ): Promise<void> {
    try {
      await tx.manager.insert(OrganizationEntity, { id: scope.organizationId, ...organization });
    } catch (error) {
      throw withMessage(error, 'already-exists', 'Another organization has this slug.');
    }
  }

  /** The settings, with the organisation locked against other changes until the transaction ends. */
  async lockSettings(scope: WriteScope, tx: Tx): Promise<unknown> {
    return tx.json<unknown>(
      scope,
      sql`select o.settings from organizations o where o.id = ${scope.organizationId} for no key update`,
    );
  }

  /** True where the organisation has this agent. To be asked while it is locked: agents that are a default are not deleted. */
  async hasAgent(scope: WriteScope, tx: Tx, agentId: string): Promise<boolean> {
    const found = await tx.row(sql`
      select 1 from agents a where a.organization_id = ${scope.organizationId} and a.id = ${agentId} and a.deleted_at is null`);
    return found !== null;
  }

  async update(scope: WriteScope, tx: Tx, changes: OrganizationChanges): Promise<void> {
    const columns = assignments({
      name: changes.name === undefined ? undefined : sql`${changes.name}`,
      default_agent_id: changes.defaultAgentId === undefined ? undefined : sql`${changes.defaultAgentId}::uuid`,
      settings: changes.settings === undefined ? undefined : jsonb(changes.settings),
      updated_at: sql`clock_timestamp()`,
    });
    await tx.execute(sql`update organizations set ${join(columns)} where id = ${scope.organizationId}`);
  }
}
