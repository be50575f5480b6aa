import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../database/keyset.sql.js';
import { live, tenant } from '../../database/scope.sql.js';
import { sql } from '../../database/sql.js';
import type { SealedValue } from '../../engines/envelope/envelope.js';
import type { ListQuery } from '../../http/list-query.js';
import type { SecretView } from './secrets.schema.js';

const SECRET_JSON = sql`json_build_object('id', s.id, 'name', s.name, 'version', s.version, 'fingerprint', s.fingerprint,
  'created_at', iso_utc(s.created_at), 'updated_at', iso_utc(s.updated_at))`;

/** A sealed value, and the run that may be given it. */
export interface GrantedVersion {
  runId: string;
  secretId: string;
  name: string;
  version: number;
  /** The present one; an older one is kept for redaction alone. */
  isPresent: boolean;
  sealed: Buffer;
}

/** A replaced value outlives every run that may have been given it: no attempt lasts longer. */
export const REPLACED_KEPT_DAYS = 8;

@Injectable()
export class SecretsRepository {
  constructor(private readonly database: Database) {}

  async list(scope: ReadScope, page: KeysetPage, query: ListQuery): Promise<KeysetRow<SecretView>[]> {
    const where = sql`${tenant(scope, 's')} and ${createdBetween('s', query)}`;
    const select = keysetRows('s', page, { item: SECRET_JSON, from: sql`secrets s`, where });
    return (await this.database.json<KeysetRow<SecretView>[]>(scope, select)) ?? [];
  }

  async count(scope: WriteScope, tx: Tx): Promise<number> {
    const row = await tx.row<{ count: number }>(
      sql`select count(*)::int as count from secrets s where ${tenant(scope, 's')}`,
    );
    return row?.count ?? 0;
  }

  /** Id and next version of the name, its row locked; made where there is none. Of two first puts the second waits for the first. */
  async reserve(
    scope: WriteScope,
    tx: Tx,
    secret: { id: string; name: string; fingerprint: string },
  ): Promise<{ id: string; version: number }> {
    const row = await tx.row<{ id: string; version: number }>(sql`
      insert into secrets as s (organization_id, id, name, version, fingerprint, updated_by)
      values (${scope.organizationId}, ${secret.id}, ${secret.name}, 1, ${secret.fingerprint}, ${scope.actor.principalId})
      on conflict (organization_id, name) do update set version = s.version + 1, fingerprint = excluded.fingerprint,
        updated_by = excluded.updated_by, updated_at = clock_timestamp()
      returning id, version`);
    if (row === null) {
      throw new Error('an insert of a secret answered no row');
    }
    return row;
  }

  async addVersion(
    scope: WriteScope,
    tx: Tx,
    secret: { id: string; version: number },
    { sealed, rootKeyId }: SealedValue,
  ): Promise<void> {
    await tx.execute(sql`
      with replaced as (
        update secret_versions v set replaced_at = clock_timestamp()
        where v.organization_id = ${scope.organizationId} and v.secret_id = ${secret.id} and v.replaced_at is null
      )
      insert into secret_versions (organization_id, secret_id, version, sealed, root_key_id)
      values (${scope.organizationId}, ${secret.id}, ${secret.version}, ${sealed}, ${rootKeyId})`);
  }

  async find(scope: ReadScope, tx: Tx, id: string): Promise<SecretView | null> {
    return tx.json<SecretView>(
      scope,
      sql`select ${SECRET_JSON} from secrets s where ${tenant(scope, 's')} and s.id = ${id}`,
    );
  }

  /** Deletes the secret with every value it had; false where there is none. */
  async remove(scope: WriteScope, tx: Tx, name: string): Promise<boolean> {
    const removed = await tx.execute(
      sql`delete from secrets where organization_id = ${scope.organizationId} and name = ${name}`,
    );
    return removed > 0;
  }

  /** Which of these names are secrets of the organisation. */
  async known(scope: ReadScope, tx: Tx, names: readonly string[]): Promise<string[]> {
    const rows = await tx.rows<{ name: string }>(
      sql`select s.name from secrets s where ${tenant(scope, 's')} and s.name = any(${names}::text[])`,
    );
    return rows.map(({ name }) => name);
  }

  /**
   * The values that runs of this principal may be given: named by the task, and still allowed to the run's agent. With `held`, only of
   * runs whose lease it holds now, and present ones alone; without, also what was replaced meanwhile, of any run it claimed last, so
   * that what was given can be redacted.
   */
  async granted(
    scope: WriteScope,
    reader: Tx | Database,
    runIds: readonly string[],
    held: boolean,
  ): Promise<GrantedVersion[]> {
    const present = held ? sql`and v.version = s.version and r.lease_expires_at > clock_timestamp()` : sql``;
    return reader.rows<GrantedVersion & Record<string, unknown>>(sql`
      select r.id as "runId", s.id as "secretId", s.name, v.version, v.version = s.version as "isPresent", v.sealed
      from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        join agents a on a.organization_id = r.organization_id and a.id = r.agent_id
        join secrets s on s.organization_id = r.organization_id and s.name = any(t.secret_names) and s.name = any(a.allowed_secret_names)
        join secret_versions v on v.organization_id = s.organization_id and v.secret_id = s.id
      where r.organization_id = ${scope.organizationId} and r.id = any(${runIds}::uuid[])
        and r.claimed_by = ${scope.actor.principalId} ${present} and ${live(scope)}
      order by s.name, v.version desc`);
  }

  /** Deletes replaced values past their time, some at once; how many. */
  async sweep(most: number): Promise<number> {
    return this.database.execute(sql`
      delete from secret_versions where ctid = any(array(
        select ctid from secret_versions where replaced_at < clock_timestamp() - make_interval(days => ${REPLACED_KEPT_DAYS})
        order by replaced_at limit ${most}))`);
  }
}
