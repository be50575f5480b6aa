import { Injectable } from '@nestjs/common';
import type { ReadScope, UserRole, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { type Sql, assignments, join, raw, sql } from '../../../database/sql.js';
import type { ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { newId } from '../../../kernel/ids.js';
import { AccountEntity } from '../accounts/account.entity.js';
import { readableUser } from '../directory.query.js';
import { PrincipalsRepository } from '../principals/principals.repository.js';
import { withMessage } from '../with-message.js';
import { UserEntity } from './user.entity.js';
import type { UserPatch, UserView } from './users.schema.js';

type Reader = Pick<Tx, 'json'>;

export interface NewUser {
  id: string;
  email: string;
  displayName: string;
  role: UserRole;
  passwordHash: string | null;
}

const EMAIL_TAKEN = 'Somebody has this e-mail address already.';

const USERS = sql`users u join principals r on r.organization_id = u.organization_id and r.id = u.id`;

function userJson(): Sql {
  return raw(`json_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name, 'role', r.role,
    'created_at', iso_utc(u.created_at), 'updated_at', iso_utc(u.updated_at))`);
}

@Injectable()
export class UsersRepository {
  constructor(
    private readonly database: Database,
    private readonly principals: PrincipalsRepository,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: ListQuery): Promise<KeysetRow<UserView>[]> {
    const where = sql`${readableUser(scope, 'u')} and ${createdBetween('u', query)}`;
    return (
      (await this.database.json<KeysetRow<UserView>[]>(
        scope,
        keysetRows('u', page, { item: userJson(), from: USERS, where }),
      )) ?? []
    );
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<UserView | null> {
    return reader.json<UserView>(
      scope,
      sql`select ${userJson()} from ${USERS} where u.id = ${id} and ${readableUser(scope, 'u')}`,
    );
  }

  /** The user, locked against other changes of them until the transaction ends. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<UserView | null> {
    return tx.json<UserView>(
      scope,
      sql`select ${userJson()} from ${USERS} where u.id = ${id} and ${readableUser(scope, 'u')} for no key update of u, r`,
    );
  }

  /** A principal, a person and their account. @throws DomainError `already-exists` for an e-mail in use */
  async insert(scope: WriteScope, tx: Tx, user: NewUser): Promise<void> {
    const { organizationId } = scope;
    await this.rowLimits.assertRoom(scope, tx, 'users');
    await this.rowLimits.assertRoom(scope, tx, 'accounts');
    await this.principals.insert(scope, tx, { id: user.id, kind: 'user', role: user.role });
    try {
      const { id, email, displayName, passwordHash } = user;
      await tx.manager.insert(UserEntity, { organizationId, id, email, displayName, passwordHash });
    } catch (error) {
      throw withMessage(error, 'already-exists', EMAIL_TAKEN);
    }
    await tx.manager.insert(AccountEntity, {
      organizationId,
      id: newId(),
      name: user.displayName,
      kind: 'person',
      email: user.email,
      userId: user.id,
      createdBy: scope.isSystem ? null : scope.actor.creatorId,
    });
  }

  /** Changes the person, and their account where it still says what they said. Roles are the principals' affair. */
  async update(
    scope: WriteScope,
    tx: Tx,
    before: UserView,
    patch: Pick<UserPatch, 'email' | 'display_name'>,
  ): Promise<void> {
    const columns = assignments({
      email: patch.email === undefined ? undefined : sql`${patch.email}`,
      display_name: patch.display_name === undefined ? undefined : sql`${patch.display_name}`,
      updated_at: sql`clock_timestamp()`,
    });
    try {
      await tx.execute(
        sql`update users set ${join(columns)} where organization_id = ${scope.organizationId} and id = ${before.id}`,
      );
    } catch (error) {
      throw withMessage(error, 'already-exists', EMAIL_TAKEN);
    }
    await tx.execute(sql`
      update accounts a set updated_at = clock_timestamp(),
        email = case when a.email = ${before.email} then ${patch.email ?? before.email} else a.email end,
        name = case when a.name = ${before.display_name} then ${patch.display_name ?? before.display_name} else a.name end
      where a.organization_id = ${scope.organizationId} and a.user_id = ${before.id}
        and (a.email = ${before.email} or a.name = ${before.display_name})`);
  }

  /** @returns false where nobody of this id is there */
  async setPasswordHash(scope: WriteScope, tx: Tx, id: string, passwordHash: string): Promise<boolean> {
    const changed = await tx.execute(sql`
      update users set password_hash = ${passwordHash}, updated_at = clock_timestamp()
      where organization_id = ${scope.organizationId} and id = ${id} and deleted_at is null`);
    return changed > 0;
  }

  /**
   * The person is gone: no sign-in, no membership, their keys ended, their e-mail free. What they made stays, and so does their
   * account, as a label of nobody's.
   */
  async remove(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    const { organizationId } = scope;
    await tx.execute(sql`
      update users set deleted_at = clock_timestamp(), updated_at = clock_timestamp(), password_hash = null
      where organization_id = ${organizationId} and id = ${id}`);
    await tx.execute(sql`delete from team_members where organization_id = ${organizationId} and user_id = ${id}`);
    await tx.execute(sql`
      update accounts set user_id = null, updated_at = clock_timestamp() where organization_id = ${organizationId} and user_id = ${id}`);
    await this.principals.disable(scope, tx, [id]);
  }
}
