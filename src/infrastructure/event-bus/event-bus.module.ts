import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { Database } from '../../database/database.js';
import { Log } from '../../kernel/log.js';
import { EventBus } from './event-bus.js';
import type { NotificationTransport } from './notification-transport.js';
import { PostgresNotifications } from './postgres-notifications.js';
import { ReplicatedEventBus } from './replicated-event-bus.js';

/** Redis where it is configured, else the database that is there anyway. */
@Global()
@Module({
  providers: [
    {
      provide: EventBus,
      inject: [AppConfig, Database, Log],
      useFactory: async (config: AppConfig, database: Database, log: Log): Promise<EventBus> =>
        new ReplicatedEventBus(
          config.redisUrl === null ? new PostgresNotifications(database.url) : await redisHints(config.redisUrl),
          log,
        ),
    },
  ],
  exports: [EventBus],
})
export class EventBusModule {}

/** Its client is loaded only where there is a Redis. */
async function redisHints(url: string): Promise<NotificationTransport> {
  const { RedisNotifications } = await import('./redis-notifications.js');
  return new RedisNotifications(url);
}
