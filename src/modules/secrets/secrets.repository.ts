import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { RowLimits } from '../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../database/keyset.sql.js';
import { live, tenant } from '../../database/scope.sql.js';
import { type Sql, raw, sql } from '../../database/sql.js';
import type { SealedValue } from '../../infrastructure/envelope/envelope.js';
import type { ListQuery } from '../../http/pagination/cursor-paginator.js';
import type { SecretView } from './secrets.schema.js';

const SECRET_JSON = sql`json_build_object('id', s.id, 'name', s.name, 'version', s.version, 'fingerprint', s.fingerprint,
  'created_at', iso_utc(s.created_at), 'updated_at', iso_utc(s.updated_at))`;

/** A sealed value. */
export interface SealedVersion {
  secretId: string;
  name: string;
  version: number;
  sealed: Buffer;
}

/** A sealed value, and the run that is given it. */
export interface GivenVersion extends SealedVersion {
  runId: string;
}

@Injectable()
export class SecretsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: ListQuery): Promise<KeysetRow<SecretView>[]> {
    const where = sql`${tenant(scope, 's')} and ${createdBetween('s', query)}`;
    const select = keysetRows('s', page, { item: SECRET_JSON, from: sql`secrets s`, where });
    return (await this.database.json<KeysetRow<SecretView>[]>(scope, select)) ?? [];
  }

  /**
   * Id and next version of the name, its row locked; made where there is none. Of two first puts the second waits for the first.
   * @throws DomainError `limit-reached`
   */
  async reserve(
    scope: WriteScope,
    tx: Tx,
    secret: { id: string; name: string; fingerprint: string },
  ): Promise<{ id: string; version: number }> {
    if ((await this.known(scope, tx, [secret.name])).length === 0) {
      await this.rowLimits.assertRoom(scope, tx, 'secrets');
    }
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
    secret: { id: string; name: string; version: number },
    { sealed, rootKeyId }: SealedValue,
  ): Promise<void> {
    await tx.execute(sql`
      with replaced as (
        update secret_versions v set replaced_at = clock_timestamp()
        where v.organization_id = ${scope.organizationId} and v.secret_id = ${secret.id} and v.replaced_at is null
      )
      insert into secret_versions (organization_id, secret_id, name, version, sealed, root_key_id)
      values (${scope.organizationId}, ${secret.id}, ${secret.name}, ${secret.version}, ${sealed}, ${rootKeyId})`);
  }

  async find(scope: ReadScope, tx: Tx, id: string): Promise<SecretView | null> {
    return tx.json<SecretView>(
      scope,
      sql`select ${SECRET_JSON} from secrets s where ${tenant(scope, 's')} and s.id = ${id}`,
    );
  }

  /**
   * Deletes the secret, and each value it had that no run was given; false where there is none. Values that runs were given stay, sealed,
   * until the last of these runs is deleted.
   */
  async remove(scope: WriteScope, tx: Tx, name: string): Promise<boolean> {
    const removed = await tx.row<{ id: string }>(
      sql`delete from secrets s where ${tenant(scope, 's')} and s.name = ${name} returning s.id`,
    );
    if (removed === null) {
      return false;
    }
    // Waits for claims that are giving a value out just now; what they record, the next statement sees.
    await tx.execute(sql`
      select 1 from secret_versions v where ${tenant(scope, 'v')} and v.secret_id = ${removed.id} order by v.version for update of v`);
    await tx.execute(sql`
      with unused as (
        delete from secret_versions v where ${tenant(scope, 'v')} and v.secret_id = ${removed.id} and not ${isGiven('v')}
      )
      update secret_versions v set replaced_at = clock_timestamp()
      where ${tenant(scope, 'v')} and v.secret_id = ${removed.id} and v.replaced_at is null and ${isGiven('v')}`);
    return true;
  }

  /** Which of these names are secrets of the organisation. */
  async known(scope: ReadScope, tx: Tx, names: readonly string[]): Promise<string[]> {
    const rows = await tx.rows<{ name: string }>(
      sql`select s.name from secrets s where ${tenant(scope, 's')} and s.name = any(${names}::text[])`,
    );
    return rows.map(({ name }) => name);
  }

  /**
   * The values that these runs are to be given: present ones, named by the task and allowed to the run's agent, of runs whose lease the
   * principal holds. Records each with its run in the same statement, so that no value is given without a record of it.
   */
  async give(scope: WriteScope, tx: Tx, runIds: readonly string[]): Promise<GivenVersion[]> {
    return tx.rows<GivenVersion & Record<string, unknown>>(sql`
      with granted as materialized (
        select r.id as run_id, r.task_id, v.secret_id, v.name, v.version, v.sealed
        from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
          join agents a on a.organization_id = r.organization_id and a.id = r.agent_id
          join secrets s on s.organization_id = r.organization_id and s.name = any(t.secret_names) and s.name = any(a.allowed_secret_names)
          join secret_versions v on v.organization_id = s.organization_id and v.secret_id = s.id and v.version = s.version
        where r.organization_id = ${scope.organizationId} and r.id = any(${runIds}::uuid[])
          and r.claimed_by = ${scope.actor.principalId} and r.lease_expires_at > clock_timestamp() and ${live(scope)}
        for key share of v
      ), recorded as (
        insert into run_secrets (organization_id, run_id, secret_id, version, task_id)
        select ${scope.organizationId}::uuid, g.run_id, g.secret_id, g.version, g.task_id from granted g on conflict do nothing
      )
      select g.run_id as "runId", g.secret_id as "secretId", g.name, g.version, g.sealed from granted g order by g.name`);
  }

  /**
   * Every value that this run, or another of its task, was ever given, whatever became of the secret since; newest first. Steps through
   * the index from one value to the next, so that a task of many runs costs as much as one of few. None for a run that the principal
   * did not claim last.
   */
  async given(scope: WriteScope, runId: string): Promise<SealedVersion[]> {
    return this.database.rows<SealedVersion & Record<string, unknown>>(sql`
      with recursive run as materialized (
        select r.organization_id, r.task_id from runs r
        where ${tenant(scope, 'r')} and r.id = ${runId} and r.claimed_by = ${scope.actor.principalId} and ${live(scope)}
      ), given (organization_id, task_id, secret_id, version) as (
        (select g.organization_id, g.task_id, g.secret_id, g.version from run r join run_secrets g
          on g.organization_id = r.organization_id and g.task_id = r.task_id order by g.secret_id, g.version limit 1)
        union all
        select next.* from given f cross join lateral (
          select g.organization_id, g.task_id, g.secret_id, g.version from run_secrets g
          where g.organization_id = f.organization_id and g.task_id = f.task_id and (g.secret_id, g.version) > (f.secret_id, f.version)
          order by g.secret_id, g.version limit 1
        ) next
      )
      select v.secret_id as "secretId", v.name, v.version, v.sealed from given f
        join secret_versions v on v.organization_id = f.organization_id and v.secret_id = f.secret_id and v.version = f.version
      order by v.created_at desc, v.version desc`);
  }

  /** Deletes values that were replaced, or whose secret was deleted, and that no run was given; some at once; how many. */
  async sweep(most: number): Promise<number> {
    return this.database.transaction(async (tx) => {
      const locked = await tx.rows<{ place: string }>(sql`
        select v.ctid::text as place from secret_versions v where v.replaced_at is not null and not ${isGiven('v')}
        order by v.replaced_at limit ${most}::int for update of v skip locked`);
      // Given out before the lock, perhaps: what was recorded then, this statement sees.
      return tx.execute(sql`
        delete from secret_versions v where v.ctid = any(${locked.map(({ place }) => place)}::tid[]) and not ${isGiven('v')}`);
    });
  }
}

/** True of a value that a run was given which is still there. */
function isGiven(alias: string): Sql {
  const v = raw(alias);
  return sql`exists (select 1 from run_secrets g
    where g.organization_id = ${v}.organization_id and g.secret_id = ${v}.secret_id and g.version = ${v}.version)`;
}
