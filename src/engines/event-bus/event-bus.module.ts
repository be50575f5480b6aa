import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { Database } from '../../database/database.js';
import { Log } from '../../kernel/log.js';
import { EventBus } from './event-bus.js';
import { PostgresHints } from './postgres-hints.js';
import { RedisHints } from './redis-hints.js';
import { ReplicatedEventBus } from './replicated-event-bus.js';

/** Redis where it is configured, else the database that is there anyway. */
@Global()
@Module({
  providers: [
    {
      provide: EventBus,
      inject: [AppConfig, Database, Log],
      useFactory: (config: AppConfig, database: Database, log: Log): EventBus =>
        new ReplicatedEventBus(
          config.redisUrl === null ? new PostgresHints(database.url) : new RedisHints(config.redisUrl),
          log,
        ),
    },
  ],
  exports: [EventBus],
})
export class EventBusModule {}
