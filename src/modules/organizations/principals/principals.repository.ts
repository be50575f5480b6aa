import { Injectable } from '@nestjs/common';
import type { Role, WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import { PrincipalEntity } from './principal.entity.js';

export interface NewPrincipal {
  id: string;
  kind: 'user' | 'api_key' | 'system';
  role: Role;
  expiresAt?: Date | null;
}

/**
 * Raises the epoch of these principals and of the keys bound to them, so that whatever any replica remembers of their rights is out
 * of date from the commit on. The last statement of its transaction: where the caller is among them, no scoped one works after it.
 */
export async function raiseEpochs(tx: Tx, scope: WriteScope, principalIds: readonly string[]): Promise<void> {
  await tx.execute(sql`
    update principals p set epoch = p.epoch + 1
    where p.organization_id = ${scope.organizationId} and (p.id = any(${principalIds}::uuid[]) or p.id in (
      select k.id from api_keys k where k.organization_id = ${scope.organizationId} and k.user_id = any(${principalIds}::uuid[])))`);
}

/** The one writer of `principals`. Methods end or narrow rights at once: each raises the epoch of whom it touches. */
@Injectable()
export class PrincipalsRepository {
  async insert(scope: WriteScope, tx: Tx, principal: NewPrincipal): Promise<void> {
    await tx.manager.insert(PrincipalEntity, {
      organizationId: scope.organizationId,
      id: principal.id,
      kind: principal.kind,
      role: principal.role,
      expiresAt: principal.expiresAt ?? null,
    });
  }

  /** Ends these principals for good, and the keys bound to them. */
  async disable(scope: WriteScope, tx: Tx, principalIds: readonly string[]): Promise<void> {
    await tx.execute(sql`
      update principals p set epoch = p.epoch + 1, disabled_at = coalesce(p.disabled_at, clock_timestamp())
      where p.organization_id = ${scope.organizationId} and (p.id = any(${principalIds}::uuid[]) or p.id in (
        select k.id from api_keys k where k.organization_id = ${scope.organizationId} and k.user_id = any(${principalIds}::uuid[])))`);
  }

  /** Gives another role; the caller raises the epochs when it is done. */
  async setRole(scope: WriteScope, tx: Tx, principalId: string, role: Role): Promise<void> {
    await tx.execute(
      sql`update principals set role = ${role} where organization_id = ${scope.organizationId} and id = ${principalId}`,
    );
  }

  /**
   * Owners among the people, this one left out. The organisation's row is locked first, so that of two owners who demote each other
   * the second sees what the first did.
   */
  async countOtherOwners(scope: WriteScope, tx: Tx, principalId: string): Promise<number> {
    await tx.execute(sql`select 1 from organizations where id = ${scope.organizationId} for no key update`);
    const row = await tx.row<{ count: number }>(sql`
      select count(*)::integer as count from principals where organization_id = ${scope.organizationId} and kind = 'user'
        and role = 'owner' and disabled_at is null and id <> ${principalId}`);
    return row?.count ?? 0;
  }
}
