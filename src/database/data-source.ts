import { Pool } from 'pg';
import { DataSource, type EntitySchema, type MigrationInterface, type MixedList } from 'typeorm';

export interface DataSourceInput {
  url: string;
  poolSize: number;
  entities: MixedList<Function | string | EntitySchema>;
  migrations: readonly (new () => MigrationInterface)[];
  /** What the connections are for: requests end in time, migrations take theirs. */
  purpose: 'requests' | 'migrations';
  /** Called for a connection that broke while idle; the pool replaces it by itself. */
  onIdleError: (error: unknown) => void;
}

/** Ends of what a request asks, by the server; zero is none. */
const TIMEOUTS = {
  requests: {
    statement_timeout: 15_000,
    lock_timeout: 5_000,
    // A transaction that its process forgot must not hold locks for ever.
    idle_in_transaction_session_timeout: 30_000,
    // Ours, and longer: for the connection that is half open, where the server's word does not arrive.
    query_timeout: 20_000,
  },
  // Building an index, or waiting for another replica to, may take longer than any request.
  migrations: {},
} as const;
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
      ...TIMEOUTS[input.purpose],
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
