import { Module } from '@nestjs/common';
import { ConnectionRegistry } from './open-streams.js';
import { FeedHub } from './shared-feeds.js';
import { StreamCompactionRepository } from './stream-compaction.repository.js';
import { StreamCompactor } from './stream-compactor.js';
import { StreamDelivery } from './stream-delivery.js';
import { StreamLinks } from './stream-links.js';
import { LifecycleQuery } from './lifecycle.query.js';
import { TaskFeedQuery } from './task-feed.query.js';
import { TaskStreamController } from './task-stream.controller.js';
import { StreamsController } from './streams.controller.js';
import { StreamsRepository } from './streams.repository.js';
import { StreamsService } from './streams.service.js';

@Module({
  controllers: [StreamsController, TaskStreamController],
  providers: [
    StreamsRepository,
    StreamCompactionRepository,
    StreamCompactor,
    TaskFeedQuery,
    LifecycleQuery,
    StreamsService,
    StreamDelivery,
    StreamLinks,
    ConnectionRegistry,
    FeedHub,
  ],
  exports: [StreamLinks, ConnectionRegistry],
})
export class StreamsModule {}
