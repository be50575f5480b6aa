import { type DynamicModule, Inject, Module, type OnApplicationShutdown, type Provider } from '@nestjs/common';
import type { Pool } from 'pg';
import { DataSource } from 'typeorm';
import { AppConfig } from '../config/app-config.js';
import { Log } from '../kernel/log.js';
import { connect, type DataSourceInput } from './data-source.js';
import { Database, PublicDatabase } from './database.js';
import { EmbeddedPostgres } from './embedded/embedded-postgres.js';
import { Idempotency } from './idempotency.js';
import { migrate } from './migrator.js';
import { migrations } from './migrations.js';
import { RowLimits } from './row-limits.js';
import { RowLimitsQuery } from './row-limits.query.js';
import { AutoAnalyze } from './auto-analyze.js';

/** Connections for what callers without a credential can cause; see {@link PublicDatabase}. */
const PUBLIC_POOL_SIZE = 4;

/** What was started for the database, in one place, so that it is stopped in the reverse order and last of all. */
class DatabaseHandle {
  constructor(
    readonly dataSource: DataSource,
    readonly pool: Pool,
    readonly open: { readonly dataSource: DataSource; readonly pool: Pool },
    readonly embedded: EmbeddedPostgres | null,
    readonly url: string,
  ) {}
}

@Module({})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(@Inject(DatabaseHandle) private readonly handle: DatabaseHandle) {}

  static register(entities: DataSourceInput['entities']): DynamicModule {
    const handle: Provider = {
      provide: DatabaseHandle,
      inject: [AppConfig, Log],
      useFactory: async (config: AppConfig, log: Log): Promise<DatabaseHandle> => {
        const embedded = config.databaseUrl === null ? new EmbeddedPostgres({ dataDir: config.dataDir, log }) : null;
        const url = config.databaseUrl ?? (await embedded?.start())?.url ?? '';
        try {
          // The driver hangs its whole client on the error: the reason is all that a log wants.
          const onIdleError = (error: unknown): void => {
            const reason = error instanceof Error ? error.message : String(error);
            log.info('an idle database connection broke; the pool replaces it', { reason });
          };
          const done = await migrate({ url, migrations, onIdleError });
          if (done.length > 0) {
            log.info('database migrated', { migrations: done });
          }
          const connected = (poolSize: number): ReturnType<typeof connect> =>
            connect({ url, poolSize, entities, migrations, purpose: 'requests', onIdleError });
          const { dataSource, pool } = await connected(config.databasePoolSize);
          return new DatabaseHandle(dataSource, pool, await connected(PUBLIC_POOL_SIZE), embedded, url);
        } catch (error) {
          await embedded?.stop();
          throw error;
        }
      },
    };
    return {
      module: DatabaseModule,
      global: true,
      providers: [
        handle,
        {
          provide: Database,
          inject: [DatabaseHandle],
          useFactory: (started: DatabaseHandle) => new Database(started.dataSource, started.pool, started.url),
        },
        {
          provide: PublicDatabase,
          inject: [DatabaseHandle],
          useFactory: ({ open, url }: DatabaseHandle) => new PublicDatabase(open.dataSource, open.pool, url),
        },
        Idempotency,
        RowLimits,
        RowLimitsQuery,
        AutoAnalyze,
      ],
      exports: [Database, PublicDatabase, Idempotency, RowLimits],
    };
  }

  // Nest runs shutdown hooks after the HTTP server closed and every module's beforeApplicationShutdown finished.
  async onApplicationShutdown(): Promise<void> {
    await this.handle.open.dataSource.destroy();
    await this.handle.dataSource.destroy();
    await this.handle.embedded?.stop();
  }
}
