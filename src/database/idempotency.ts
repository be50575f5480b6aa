/**
 * One effect per key. The record of what a creating request was answered is inserted by the transaction that has the effect, so
 * there is never one without the other, and nothing to clean up after a crash: an unfinished attempt leaves no row at all.
 *
 * "In progress" is an advisory lock held by that transaction: a second sender that cannot take it is told so at once (409)
 * instead of waiting; a crashed holder's lock goes with its connection. Errors are not stored: they roll back, so nothing
 * happened, and the next sender with the key starts afresh.
 * The behaviour follows draft-ietf-httpapi-idempotency-key-header-07.
 */
import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../access/index.js';
import { DomainError } from '../kernel/errors.js';
import { Database, type Tx } from './database.js';
import { sql } from './sql.js';

/** One use of a key: the route's template, the key as sent, and keyed digests of all that was asked. */
export interface IdempotencyTicket {
  route: string;
  key: string;
  /** Of the same request under each pepper there is, the newest first: that one is stored, any may have been. */
  fingerprints: readonly [Buffer, ...Buffer[]];
}

export interface Outcome<Value> {
  value: Value;
  /** True where the value is the stored answer of an earlier request. */
  replayed: boolean;
}

/** Records live this long at least. */
const KEPT_HOURS = 24;

@Injectable()
export class Idempotency {
  constructor(private readonly database: Database) {}

  /**
   * Runs `work` in a transaction, at most once per ticket; without a ticket, just runs it. `Value` must survive JSON, and is replayed to the letter.
   * @throws DomainError `idempotency-in-progress` (409), `idempotency-mismatch` (422)
   */
  async run<Value>(
    scope: WriteScope,
    ticket: IdempotencyTicket | null,
    work: (tx: Tx) => Promise<Value>,
  ): Promise<Outcome<Value>> {
    if (ticket === null) {
      return { value: await this.database.write(scope, work), replayed: false };
    }
    const keyed = async (tx: Tx): Promise<Outcome<Value>> => {
      await this.#lock(tx, scope, ticket);
      const stored = await tx.row<{ fingerprint: Buffer; body: Value }>(
        sql`select fingerprint, body from idempotency_records where ${identity(scope, ticket)}`,
      );
      if (stored !== null) {
        if (!ticket.fingerprints.some((fingerprint) => stored.fingerprint.equals(fingerprint))) {
          throw new DomainError(
            'idempotency-mismatch',
            'This Idempotency-Key was used with another request; use a new key.',
          );
        }
        return { value: stored.body, replayed: true };
      }
      const value = await work(tx);
      await tx.execute(sql`
        insert into idempotency_records (organization_id, principal_id, route, key, fingerprint, body)
        values (${scope.organizationId}, ${scope.actor.principalId}, ${ticket.route}, ${ticket.key}, ${ticket.fingerprints[0]}, ${JSON.stringify(value)}::json)`);
      return { value, replayed: false };
    };
    return this.database.write(scope, keyed, ({ replayed }) => !replayed);
  }

  /** Deletes records past their time, some at once; returns how many. */
  async sweep(most: number): Promise<number> {
    return this.database.execute(sql`
      delete from idempotency_records where ctid = any(array(
        select ctid from idempotency_records where created_at < clock_timestamp() - make_interval(hours => ${KEPT_HOURS})
        order by created_at limit ${most}))`);
  }

  async #lock(tx: Tx, scope: WriteScope, ticket: IdempotencyTicket): Promise<void> {
    const digest = createHash('sha256')
      .update(JSON.stringify([scope.organizationId, scope.actor.principalId, ticket.route, ticket.key]))
      .digest();
    const taken = await tx.row<{ taken: boolean }>(
      sql`select pg_try_advisory_xact_lock(${digest.readBigInt64BE(0).toString()}::bigint) as taken`,
    );
    if (taken?.taken !== true) {
      throw new DomainError(
        'idempotency-in-progress',
        'A request with this Idempotency-Key is still being worked on.',
        {
          retryAfterSeconds: 1,
        },
      );
    }
  }
}

function identity(scope: WriteScope, ticket: IdempotencyTicket) {
  return sql`organization_id = ${scope.organizationId} and principal_id = ${scope.actor.principalId}
    and route = ${ticket.route} and key = ${ticket.key}`;
}
