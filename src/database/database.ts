/**
 * The one way to PostgreSQL. Reads go straight to the pool as named prepared statements (one round trip); writes run in a
 * transaction that is handed on as an explicit `tx`. TypeORM's data source owns the pool, the migrations and the entities.
 *
 * Rights at once. Authentication caches who a caller is for some seconds; so that a revocation holds all the same, every scoped
 * statement asks `principals` whether the caller still is who the cache says (`live` in scope.sql.ts). When the answer is no,
 * `StaleActorError` is thrown, the actor is loaded afresh, and the request is run once more.
 */
import { Injectable } from '@nestjs/common';
import type { PoolClient, QueryResult, QueryResultRow, Pool } from 'pg';
import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import { type ReadScope, WriteScope } from '../access/index.js';
import { KeyedLimiter } from '../kernel/concurrency/keyed-limiter.js';
import { live } from './scope.sql.js';
import { isRetryable, toDomainError } from './sql-errors.js';
import { Sql, sql } from './sql.js';
import { StatementNames } from './statement-names.js';

/** The actor is not what the cache said: epoch raised, disabled or expired. Nothing was read or written. */
export class StaleActorError extends Error {
  override readonly name = 'StaleActorError';
}

/** How often a transaction that lost a deadlock is tried again. */
const RETRIES = 3;

/** Reads of one principal that wait while others of its own are under way; they hold half of the pool at most. */
const MAX_WAITING_READS = 1_000;

type Observer = (text: string, values: readonly unknown[]) => void;

/** A transaction under way; ends when the function it was given to returns (commit) or throws (rollback). */
export class Tx {
  readonly #names: StatementNames;
  readonly #client: PoolClient;
  readonly #observers: ReadonlySet<Observer>;
  readonly #afterCommit: (() => void)[] = [];
  readonly #onRollback: (() => void)[] = [];

  constructor(
    readonly manager: EntityManager,
    client: PoolClient,
    names: StatementNames,
    observers: ReadonlySet<Observer>,
  ) {
    this.#client = client;
    this.#names = names;
    this.#observers = observers;
  }

  /** Calls `effect` once the transaction is committed, and never where it is not: for hints and other cheap tellings. */
  afterCommit(effect: () => void): void {
    this.#afterCommit.push(effect);
  }

  /** Calls `effect` once what was done up to now is undone: with the transaction, or with the {@link attempt} that it belongs to. */
  onRollback(effect: () => void): void {
    this.#onRollback.push(effect);
  }

  /** @internal the database calls it */
  rolledBack(): void {
    this.#undo(0);
  }

  /** @internal the database calls it */
  committed(): void {
    this.#onRollback.length = 0;
    for (const effect of this.#afterCommit) {
      effect();
    }
  }

  /** Rows of a statement inside the transaction. */
  async rows<Row extends QueryResultRow>(statement: Sql): Promise<Row[]> {
    return (await this.#query<Row>(statement)).rows;
  }

  /** The first row, or null. */
  async row<Row extends QueryResultRow>(statement: Sql): Promise<Row | null> {
    return (await this.rows<Row>(statement))[0] ?? null;
  }

  /** Rows changed. */
  async execute(statement: Sql): Promise<number> {
    return (await this.#query(statement)).rowCount ?? 0;
  }

  /** The JSON value of a scoped select, or null; see {@link Database.json}. */
  async json<Value>(scope: ReadScope, select: Sql): Promise<Value | null> {
    return body<Value>(scope, await this.rows<{ body: Value | null }>(scopedJson(scope, select)));
  }

  /**
   * Runs `work` so that what it did is undone where it throws, and the transaction lives on: a part that may fail of a whole that
   * must not. The error is thrown on.
   */
  async attempt<Result>(work: () => Promise<Result>): Promise<Result> {
    const told = this.#afterCommit.length;
    const undoable = this.#onRollback.length;
    await this.execute(sql`savepoint attempt`);
    try {
      const result = await work();
      await this.execute(sql`release savepoint attempt`);
      return result;
    } catch (error) {
      await this.execute(sql`rollback to savepoint attempt`);
      await this.execute(sql`release savepoint attempt`);
      this.#afterCommit.length = told;
      this.#undo(undoable);
      throw error;
    }
  }

  /** Throws {@link StaleActorError} unless the scope's actor is still what it was. */
  async assertLive(scope: ReadScope): Promise<void> {
    if (!scope.isSystem && (await this.row(sql`select 1 where ${live(scope)}`)) === null) {
      throw new StaleActorError();
    }
  }

  #undo(from: number): void {
    for (const effect of this.#onRollback.splice(from)) {
      effect();
    }
  }

  async #query<Row extends QueryResultRow>(statement: Sql): Promise<QueryResult<Row>> {
    for (const observer of this.#observers) {
      observer(statement.text, statement.values);
    }
    try {
      return await this.#client.query<Row>(this.#names.prepared(statement));
    } catch (error) {
      throw isRetryable(error) ? error : toDomainError(error);
    }
  }
}

/**
 * Told of every change that a caller makes, inside the transaction that makes it: `Database.write` calls it last, so that no service
 * can forget to, and what it cannot record does not commit. Bound at start by `infrastructure/audit-trail`.
 */
export abstract class ChangeRecorder {
  /** @param result what the work answered: a thing that was made says its id there */
  abstract recordChange(tx: Tx, scope: WriteScope, result: unknown): Promise<void>;
}

@Injectable()
export class Database {
  readonly #pool: Pool;
  readonly #names = new StatementNames();
  readonly #reads: KeyedLimiter;
  #recorder: ChangeRecorder | null = null;
  /** For tests that count round trips, and for benchmarks that repeat a statement without us. */
  readonly observers = new Set<Observer>();

  constructor(
    readonly dataSource: DataSource,
    pool: Pool,
    /** Where it is, for the rare connection that cannot come from the pool. Holds a password: never log it. */
    readonly url: string,
  ) {
    this.#pool = pool;
    this.#reads = new KeyedLimiter(
      { concurrent: Math.max(1, Math.floor(pool.options.max / 2)), waiting: MAX_WAITING_READS },
      'Too many of your requests are waiting for the database; send fewer at once.',
    );
  }

  /** From now on every change of a caller is recorded with this, in its own transaction. */
  recordWith(recorder: ChangeRecorder): void {
    this.#recorder = recorder;
  }

  /** Rows of one statement, in one round trip. */
  async rows<Row extends QueryResultRow>(statement: Sql): Promise<Row[]> {
    return (await this.#query<Row>(statement)).rows;
  }

  async row<Row extends QueryResultRow>(statement: Sql): Promise<Row | null> {
    return (await this.rows<Row>(statement))[0] ?? null;
  }

  /** Rows changed by one statement that is a transaction of its own. */
  async execute(statement: Sql): Promise<number> {
    return (await this.#query(statement)).rowCount ?? 0;
  }

  /**
   * The JSON value that `select` (a scalar subselect) yields, or null where it yields nothing; one round trip. The actor's
   * liveness drives the statement: no row at all means a stale actor, so an empty list is never mistaken for a revocation.
   * One principal has half of the pool's connections at most; further reads wait for its own.
   * @throws StaleActorError; DomainError `rate-limited` where too many wait
   */
  async json<Value>(scope: ReadScope, select: Sql): Promise<Value | null> {
    const read = (): Promise<{ body: Value | null }[]> => this.rows(scopedJson(scope, select));
    return body<Value>(scope, await (scope.isSystem ? read() : this.#reads.run(scope.actor.principalId, read)));
  }

  /** Throws {@link StaleActorError} unless the scope's actor is still what it was. Asked when a guarded write changed nothing. */
  async assertLive(scope: ReadScope): Promise<void> {
    if (!scope.isSystem && (await this.row(sql`select 1 where ${live(scope)}`)) === null) {
      throw new StaleActorError();
    }
  }

  /**
   * Runs `work` in one transaction for a caller: liveness is its first statement. Deadlocks and serialisation failures are
   * tried again, so `work` must have no effect outside the transaction. The change goes into the audit trail with it.
   *
   * @param changed false of a result that changed nothing: an answer that was given before
   */
  async write<Result>(
    scope: ReadScope,
    work: (tx: Tx) => Promise<Result>,
    changed: (result: Result) => boolean = () => true,
  ): Promise<Result> {
    return this.transaction(async (tx) => {
      await tx.assertLive(scope);
      const result = await work(tx);
      if (this.#recorder !== null && scope instanceof WriteScope && changed(result)) {
        await this.#recorder.recordChange(tx, scope, result);
      }
      return result;
    });
  }

  /** Runs `work` in one transaction whose statements carry their own scope. */
  async transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(work);
      } catch (error) {
        if (!isRetryable(error) || attempt > RETRIES) {
          throw toDomainError(error);
        }
      }
    }
  }

  async #once<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    const runner: QueryRunner = this.dataSource.createQueryRunner();
    let tx: Tx | null = null;
    try {
      const client = pooled(await runner.connect());
      await runner.startTransaction();
      tx = new Tx(runner.manager, client, this.#names, this.observers);
      const result = await work(tx);
      await runner.commitTransaction();
      tx.committed();
      return result;
    } catch (error) {
      tx?.rolledBack();
      // A connection handed back inside an aborted transaction would poison its next user.
      if (runner.isTransactionActive) {
        await runner.rollbackTransaction().catch(() => undefined);
      }
      throw error;
    } finally {
      await runner.release();
    }
  }

  async #query<Row extends QueryResultRow>(statement: Sql): Promise<QueryResult<Row>> {
    for (const observer of this.observers) {
      observer(statement.text, statement.values);
    }
    try {
      return await this.#pool.query<Row>(this.#names.prepared(statement));
    } catch (error) {
      throw toDomainError(error);
    }
  }
}

/** TypeORM types its connection as anything; it is the pool's client. */
function pooled(connection: unknown): PoolClient {
  if (!isPoolClient(connection)) {
    throw new Error('TypeORM did not hand out a pg client');
  }
  return connection;
}

function isPoolClient(value: unknown): value is PoolClient {
  return typeof value === 'object' && value !== null && 'query' in value && 'release' in value;
}

function scopedJson(scope: ReadScope, select: Sql): Sql {
  return scope.isSystem ? sql`select (${select}) as body` : sql`select (${select}) as body where ${live(scope)}`;
}

function body<Value>(scope: ReadScope, rows: { body: Value | null }[]): Value | null {
  const first = rows[0];
  if (first === undefined) {
    throw new StaleActorError(`principal ${scope.actor.principalId}`);
  }
  return first.body;
}

/**
 * The same database by a small pool of its own, for what callers can cause before they have shown a credential: sign-ins and look-ups of
 * refresh tokens. However many of them there are, the connections of everybody else are left alone.
 */
export class PublicDatabase extends Database {}
