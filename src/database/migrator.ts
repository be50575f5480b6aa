import { MigrationExecutor, type DataSource } from 'typeorm';
import { Client, type Pool } from 'pg';

/** Any constant will do, as long as every replica uses the same one. */
const MIGRATION_LOCK = 7_430_221_907;

/**
 * Brings the schema up to date. Several replicas may start at once: a session-level advisory lock lets one work while the others
 * wait, then find nothing left to do. Each migration is a transaction of its own.
 */
export async function migrate(dataSource: DataSource, pool: Pool): Promise<string[]> {
  // Not one of the pool's: a pool of one connection has none left for the migrations then.
  const lock = new Client(pool.options);
  // A connection that breaks takes the lock with it; whatever is asked of it next says so.
  lock.on('error', () => undefined);
  await lock.connect();
  try {
    // The wait for another replica's migrations may be long; the timeouts are meant for requests.
    await lock.query('set statement_timeout = 0; set lock_timeout = 0');
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return await runPending(dataSource);
  } finally {
    // The lock ends with its connection.
    await lock.end();
  }
}

/** Building an index may take longer than any request: on the connection of the migrations, no timeout holds. */
async function runPending(dataSource: DataSource): Promise<string[]> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.query('set statement_timeout = 0; set lock_timeout = 0');
    const executor = new MigrationExecutor(dataSource, runner);
    executor.transaction = 'each';
    const done = await executor.executePendingMigrations();
    await runner.query('reset statement_timeout; reset lock_timeout');
    return done.map((migration) => migration.name);
  } finally {
    await runner.release();
  }
}
