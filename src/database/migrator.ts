import { connect, type DataSourceInput } from './data-source.js';

/** Any constant will do, as long as every replica uses the same one. */
const MIGRATION_LOCK = 7_430_221_907;

/**
 * Brings the schema of the database at `url` up to date, on connections of its own without the timeouts of requests. Several
 * replicas may start at once: a session-level advisory lock lets one work while the others wait, then find nothing left to do.
 * Each migration is a transaction of its own. Returns the names of those done.
 */
export async function migrate(input: Pick<DataSourceInput, 'url' | 'migrations' | 'onIdleError'>): Promise<string[]> {
  const { dataSource, pool } = await connect({ ...input, poolSize: 2, entities: [], purpose: 'migrations' });
  try {
    const lock = await pool.connect();
    try {
      await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
      const done = await dataSource.runMigrations({ transaction: 'each' });
      return done.map((migration) => migration.name);
    } finally {
      // Closed rather than handed back: the lock ends with its connection, whatever went wrong.
      lock.release(true);
    }
  } finally {
    await dataSource.destroy();
  }
}
