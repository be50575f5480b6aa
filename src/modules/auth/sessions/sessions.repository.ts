import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';

/** A session ends this long after sign-in, however busy. */
const ABSOLUTE_DAYS = 90;
/** A session ends when it was not refreshed for this long. */
const IDLE_DAYS = 14;
/** A spent token that comes again this soon is a lost reply, later a stolen token. */
const GRACE_SECONDS = 10;

export interface FamilyRow extends Record<string, unknown> {
  family_id: string;
  user_id: string;
  epoch: number;
}

export interface SpentToken extends FamilyRow {
  successor_sealed: Buffer | null;
  is_spent: boolean;
  within_grace: boolean;
  /** The session itself still stands, and so does its user. */
  is_open: boolean;
}

@Injectable()
export class SessionsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Opens a session with its first refresh token, where the user's epoch is still the one that the password was checked under:
   * a password changed meanwhile opens nothing. False where it is not.
   */
  async start(
    scope: WriteScope,
    tx: Tx,
    session: { familyId: string; userId: string; epoch: number; digest: Buffer },
  ): Promise<boolean> {
    const started = await tx.execute(sql`
      insert into refresh_families (organization_id, id, user_id, expires_at)
      select p.organization_id, ${session.familyId}, p.id, clock_timestamp() + make_interval(days => ${ABSOLUTE_DAYS}) from principals p
      where ${tenant(scope, 'p')} and p.id = ${session.userId} and p.epoch = ${session.epoch} and p.disabled_at is null for key share`);
    if (started === 0) {
      return false;
    }
    await this.#insertToken(scope, tx, session.familyId, session.digest);
    return true;
  }

  /**
   * Spends the token in one conditional update and puts its successor in its place; null where it cannot be spent (any more). Of
   * any number of requests at once with one token, one gets the row.
   */
  async spend(
    scope: WriteScope,
    tx: Tx,
    digest: Buffer,
    successor: { digest: Buffer; sealed: Buffer },
  ): Promise<FamilyRow | null> {
    const family = await tx.row<FamilyRow>(sql`
      update refresh_tokens t set spent_at = clock_timestamp(), successor_sealed = ${successor.sealed}
      from refresh_families f join principals p on p.organization_id = f.organization_id and p.id = f.user_id
      where ${tenant(scope, 't')} and t.digest = ${digest} and t.spent_at is null and t.idle_expires_at > clock_timestamp()
        and f.organization_id = t.organization_id and f.id = t.family_id and f.ended_at is null and f.expires_at > clock_timestamp()
        and p.disabled_at is null and (p.expires_at is null or p.expires_at > clock_timestamp())
      returning f.id as family_id, f.user_id, p.epoch`);
    if (family !== null) {
      await this.#insertToken(scope, tx, family.family_id, successor.digest);
    }
    return family;
  }

  /** What became of a token that could not be spent. */
  async find(scope: WriteScope, tx: Tx, digest: Buffer): Promise<SpentToken | null> {
    return tx.row<SpentToken>(sql`
      select f.id as family_id, f.user_id, p.epoch, t.successor_sealed, t.spent_at is not null as is_spent,
        coalesce(t.spent_at > clock_timestamp() - make_interval(secs => ${GRACE_SECONDS}), false) as within_grace,
        f.ended_at is null and f.expires_at > clock_timestamp() and p.disabled_at is null
          and (p.expires_at is null or p.expires_at > clock_timestamp()) as is_open
      from refresh_tokens t
      join refresh_families f on f.organization_id = t.organization_id and f.id = t.family_id
      join principals p on p.organization_id = f.organization_id and p.id = f.user_id
      where ${tenant(scope, 't')} and t.digest = ${digest}`);
  }

  /** Ends one session; false where it had ended. */
  async end(scope: WriteScope, tx: Tx, familyId: string, reason: 'logout' | 'reuse'): Promise<boolean> {
    const ended = await tx.execute(sql`
      update refresh_families f set ended_at = clock_timestamp(), ended_reason = ${reason}
      where ${tenant(scope, 'f')} and f.id = ${familyId} and f.ended_at is null`);
    return ended > 0;
  }

  /** Ends every session of a user. */
  async endAll(scope: WriteScope, tx: Tx, userId: string, reason: 'password' | 'disabled'): Promise<void> {
    await tx.execute(sql`
      update refresh_families f set ended_at = clock_timestamp(), ended_reason = ${reason}
      where ${tenant(scope, 'f')} and f.user_id = ${userId} and f.ended_at is null`);
  }

  /** Deletes some sessions that ended or ran out a month ago; their tokens go with them. */
  async sweep(most: number): Promise<number> {
    return this.database.execute(sql`
      delete from refresh_families where ctid = any(array(
        select ctid from refresh_families where expires_at < clock_timestamp() - interval '30 days' order by expires_at limit ${most}))`);
  }

  async #insertToken(scope: WriteScope, tx: Tx, familyId: string, digest: Buffer): Promise<void> {
    await tx.execute(sql`
      insert into refresh_tokens (organization_id, digest, family_id, idle_expires_at)
      values (${scope.organizationId}, ${digest}, ${familyId}, clock_timestamp() + make_interval(days => ${IDLE_DAYS}))`);
  }
}
