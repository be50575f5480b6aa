import type { DataSource } from 'typeorm';
import type { Pool } from 'pg';

/** Any constant will do, as long as every replica uses the same one. */
const MIGRATION_LOCK = 7_430_221_907;

/**
 * Brings the schema up to date. Several replicas may start at once: a session-level advisory lock lets one work while the others
 * wait, then find nothing left to do. Each migration is a transaction of its own.
 */
export async function migrate(dataSource: DataSource, pool: Pool): Promise<string[]> {
  const lock = await pool.connect();
  let broken: Error | undefined;
  try {
    // The wait for another replica's migrations may be long; the pool's statement timeout is meant for requests.
    await lock.query('set statement_timeout = 0; set lock_timeout = 0');
    await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const done = await dataSource.runMigrations({ transaction: 'each' });
    await lock.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    await lock.query('reset statement_timeout; reset lock_timeout');
    return done.map((migration) => migration.name);
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    // Releasing with an error closes the connection, and with it the lock.
    lock.release(broken);
  }
}
