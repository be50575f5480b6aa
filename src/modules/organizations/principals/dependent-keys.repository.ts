import { Injectable } from '@nestjs/common';
import type { Role, UserRole, WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { type Sql, sql } from '../../../database/sql.js';

/** A key that still works, and what decides who may revoke it. */
export interface DependentKey extends Record<string, unknown> {
  id: string;
  name: string;
  role: Role;
  /** The role of the user that the key is bound to; null for a key of its own. */
  user_role: UserRole | null;
}

/** API keys that depend on a team or on the user who created them. */
@Injectable()
export class DependentKeysRepository {
  /** Working keys that are limited to this team and to no other, locked until the transaction ends. */
  async ofTeamAlone(scope: WriteScope, tx: Tx, teamId: string): Promise<DependentKey[]> {
    return this.#working(
      scope,
      tx,
      sql`k.id in (select kt.api_key_id from api_key_teams kt where ${tenant(scope, 'kt')} and kt.team_id = ${teamId})
        and not exists (select 1 from api_key_teams other where other.organization_id = k.organization_id and other.api_key_id = k.id
          and other.team_id <> ${teamId})`,
    );
  }

  /**
   * Working keys that the user created, and those that were created with such a key, to any depth; locked until the transaction ends.
   */
  async createdBy(scope: WriteScope, tx: Tx, userId: string): Promise<DependentKey[]> {
    return this.#working(
      scope,
      tx,
      sql`k.id in (
        with recursive made (id) as (
          select m.id from api_keys m where ${tenant(scope, 'm')} and m.created_by = ${userId}
          union
          select m.id from made join api_keys m on ${tenant(scope, 'm')} and (m.created_by = made.id or m.created_with = made.id))
        select made.id from made)`,
    );
  }

  /** Every key that is limited to the team among others or alone. */
  async limitedTo(scope: WriteScope, tx: Tx, teamId: string): Promise<string[]> {
    const rows = await tx.rows<{ id: string }>(
      sql`select kt.api_key_id as id from api_key_teams kt where ${tenant(scope, 'kt')} and kt.team_id = ${teamId}`,
    );
    return rows.map(({ id }) => id);
  }

  async #working(scope: WriteScope, tx: Tx, which: Sql): Promise<DependentKey[]> {
    return tx.rows<DependentKey>(sql`
      select k.id, k.name, p.role, (select up.role from principals up
        where up.organization_id = k.organization_id and up.id = k.user_id) as user_role
      from api_keys k join principals p on p.organization_id = k.organization_id and p.id = k.id
      where ${tenant(scope, 'k')} and p.disabled_at is null and (p.expires_at is null or p.expires_at > clock_timestamp()) and ${which}
      order by k.id for no key update of p`);
  }
}
