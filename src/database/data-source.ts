import { Pool } from 'pg';
import { DataSource, type EntitySchema, type MigrationInterface, type MixedList } from 'typeorm';

export interface DataSourceInput {
  url: string;
  poolSize: number;
  entities: MixedList<Function | string | EntitySchema>;
  migrations: readonly (new () => MigrationInterface)[];
  /** Called for a connection that broke while idle; the pool replaces it by itself. */
  onIdleError: (error: unknown) => void;
}

/** Statements of requests end after this; sweeps and migrations set their own. */
const STATEMENT_TIMEOUT_MS = 15_000;
const LOCK_TIMEOUT_MS = 5_000;
/** A transaction that its process forgot must not hold locks for ever. */
const IDLE_IN_TRANSACTION_MS = 30_000;
/** Longer waits for a connection are a 503, not a hanging request. */
const CONNECT_TIMEOUT_MS = 3_000;

/** A TypeORM data source and its pool, connected. `synchronize` stays off: the schema is the migrations'. */
export async function connect(input: DataSourceInput): Promise<{ dataSource: DataSource; pool: Pool }> {
  const dataSource = new DataSource({
    type: 'postgres',
    url: input.url,
    entities: input.entities,
    migrations: [...input.migrations],
    migrationsTableName: 'schema_migrations',
    synchronize: false,
    applicationName: 'taskyard',
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    installExtensions: false,
    poolErrorHandler: input.onIdleError,
    extra: {
      max: input.poolSize,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      keepAlive: true,
    },
  });
  await dataSource.initialize();
  const pool: unknown = Reflect.get(dataSource.driver, 'master');
  if (!(pool instanceof Pool)) {
    throw new Error('TypeORM no longer exposes the pg pool as driver.master');
  }
  return { dataSource, pool };
}
