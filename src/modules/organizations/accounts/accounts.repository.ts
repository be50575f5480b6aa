import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { type Sql, assignments, join, sql } from '../../../database/sql.js';
import { AccountEntity } from './account.entity.js';
import type { AccountListQuery, AccountPatch, AccountView } from './accounts.schema.js';
import { readableAccount, readableUser } from '../directory.query.js';
import { withMessage } from '../with-message.js';

type Reader = Pick<Tx, 'json'>;

const USER_HAS_ONE = 'This user already has an account.';

const ACCOUNT_JSON = sql`json_build_object('id', ac.id, 'name', ac.name, 'kind', ac.kind, 'email', ac.email, 'user_id', ac.user_id,
  'created_by', ac.created_by, 'created_at', iso_utc(ac.created_at), 'updated_at', iso_utc(ac.updated_at))`;

/** The actor may change and delete the account `ac`: admins all, others what they created and what is their own. */
function managed(scope: ReadScope): Sql {
  if (!scope.canWrite) {
    return sql`false`;
  }
  const { creatorId } = scope.actor;
  return scope.reach === 'all'
    ? sql`true`
    : sql`(coalesce(ac.created_by = ${creatorId}, false) or coalesce(ac.user_id = ${creatorId}, false))`;
}

@Injectable()
export class AccountsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: AccountListQuery): Promise<KeysetRow<AccountView>[]> {
    const ofKind = query.kind === undefined ? sql`true` : sql`ac.kind = ${query.kind}`;
    const where = sql`${readableAccount(scope, 'ac')} and ${ofKind} and ${createdBetween('ac', query)}`;
    const select = keysetRows('ac', page, { item: ACCOUNT_JSON, from: sql`accounts ac`, where });
    return (await this.database.json<KeysetRow<AccountView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<AccountView | null> {
    return reader.json<AccountView>(
      scope,
      sql`select ${ACCOUNT_JSON} from accounts ac where ac.id = ${id} and ${readableAccount(scope, 'ac')}`,
    );
  }

  /** Whether the actor may change the account, which is locked until the transaction ends; null where it is not there for them. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<{ managed: boolean } | null> {
    return tx.json<{ managed: boolean }>(
      scope,
      sql`select json_build_object('managed', ${managed(scope)}) from accounts ac
        where ac.id = ${id} and ${readableAccount(scope, 'ac')} for no key update of ac`,
    );
  }

  /** True where the user is there for the actor. */
  async hasUser(scope: WriteScope, tx: Tx, userId: string): Promise<boolean> {
    const found = await tx.json<boolean>(
      scope,
      sql`select to_json(true) from users u where u.id = ${userId} and ${readableUser(scope, 'u')} for share of u`,
    );
    return found === true;
  }

  async insert(
    scope: WriteScope,
    tx: Tx,
    account: { id: string; name: string; kind: AccountView['kind']; email: string | null; userId: string | null },
  ): Promise<void> {
    const { organizationId, actor } = scope;
    await this.rowLimits.assertRoom(scope, tx, 'accounts');
    try {
      await tx.manager.insert(AccountEntity, { organizationId, ...account, createdBy: actor.creatorId });
    } catch (error) {
      throw withMessage(error, 'already-exists', USER_HAS_ONE);
    }
  }

  async update(scope: WriteScope, tx: Tx, id: string, patch: AccountPatch): Promise<void> {
    const columns = assignments({
      name: patch.name === undefined ? undefined : sql`${patch.name}`,
      kind: patch.kind === undefined ? undefined : sql`${patch.kind}`,
      email: patch.email === undefined ? undefined : sql`${patch.email}::text`,
      user_id: patch.user_id === undefined ? undefined : sql`${patch.user_id}::uuid`,
      updated_at: sql`clock_timestamp()`,
    });
    try {
      await tx.execute(
        sql`update accounts set ${join(columns)} where organization_id = ${scope.organizationId} and id = ${id}`,
      );
    } catch (error) {
      throw withMessage(error, 'already-exists', USER_HAS_ONE);
    }
  }

  async remove(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    try {
      await tx.execute(sql`delete from accounts where organization_id = ${scope.organizationId} and id = ${id}`);
    } catch (error) {
      throw withMessage(
        error,
        'still-referenced',
        'Tasks are still for this account; give them another, or delete them, first.',
      );
    }
  }
}
