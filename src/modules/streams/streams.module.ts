import { Module } from '@nestjs/common';
import { ConnectionRegistry } from './broadcast/connection-registry.js';
import { FeedHub } from './broadcast/feed-hub.js';
import { StreamCompactionRepository } from './log/stream-compaction.repository.js';
import { StreamCompactor } from './log/stream-compactor.js';
import { StreamDelivery } from './broadcast/stream-delivery.js';
import { StreamLinks } from './api/stream-links.js';
import { LifecycleQuery } from './sources/lifecycle.query.js';
import { TaskFeedQuery } from './sources/task-feed.query.js';
import { TaskStreamController } from './api/task-stream.controller.js';
import { StreamsController } from './api/streams.controller.js';
import { StreamsRepository } from './log/streams.repository.js';
import { StreamsService } from './api/streams.service.js';

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
