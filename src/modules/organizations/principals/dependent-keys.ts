import { Injectable } from '@nestjs/common';
import { type WriteScope, canManageRole } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { AuditTrail } from '../../../infrastructure/audit-trail/audit-trail.js';
import { DomainError, forbidden } from '../../../kernel/errors.js';
import { type DependentKey, DependentKeysRepository } from './dependent-keys.repository.js';
import { PrincipalsRepository } from './principals.repository.js';

const MAX_NAMES = 5;

/**
 * API keys whose team is deleted, or whose creator is removed or demoted. A key that is limited to one team only would be of no use without
 * it, so it keeps the team from being deleted, unless the caller asks that it is revoked. Keys that a user created go on working by default.
 */
@Injectable()
export class DependentKeys {
  constructor(
    private readonly repository: DependentKeysRepository,
    private readonly principals: PrincipalsRepository,
    private readonly trail: AuditTrail,
  ) {}

  /**
   * Revokes the keys that are limited to this team alone, or refuses where there are some and the caller did not ask for that.
   * @returns every key that is limited to the team: their epochs have to be raised once it is deleted
   * @throws DomainError `still-referenced` with the names of the keys; `forbidden` for a key with more rights than the caller
   */
  async releaseTeam(scope: WriteScope, tx: Tx, teamId: string, revoke: boolean): Promise<string[]> {
    const keys = await this.repository.ofTeamAlone(scope, tx, teamId);
    if (keys.length > 0 && !revoke) {
      throw new DomainError(
        'still-referenced',
        `API keys are limited to this team: ${namesOf(keys)}. Revoke them first, or send keys=revoke to revoke them with the team.`,
      );
    }
    const limited = await this.repository.limitedTo(scope, tx, teamId);
    await this.#revoke(scope, tx, keys, { team_id: teamId });
    return limited;
  }

  /**
   * Revokes the keys that the user created, and those created with such keys.
   * @throws DomainError `forbidden` for a key with more rights than the caller
   */
  async revokeCreatedBy(scope: WriteScope, tx: Tx, userId: string): Promise<void> {
    await this.#revoke(scope, tx, await this.repository.createdBy(scope, tx, userId), { created_by: userId });
  }

  async #revoke(
    scope: WriteScope,
    tx: Tx,
    keys: readonly DependentKey[],
    detail: Readonly<Record<string, string>>,
  ): Promise<void> {
    const above = keys.filter(({ role, user_role: userRole }) =>
      [role, userRole].some((each) => each !== null && !canManageRole(scope.actor.role, each)),
    );
    if (above.length > 0) {
      throw forbidden(`You cannot revoke keys that have more rights than you: ${namesOf(above)}.`);
    }
    if (keys.length > 0) {
      await this.trail.record(
        tx,
        scope,
        keys.map(({ id }) => ({ action: 'api_key.delete', objectKind: 'api_key', objectId: id, detail })),
      );
      await this.principals.disable(
        scope,
        tx,
        keys.map(({ id }) => id),
      );
    }
  }
}

function namesOf(keys: readonly DependentKey[]): string {
  const names = keys.slice(0, MAX_NAMES).map(({ name }) => `"${name}"`);
  return names.join(', ') + (keys.length > MAX_NAMES ? ` and ${keys.length - MAX_NAMES} more` : '');
}
