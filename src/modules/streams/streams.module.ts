import { Module } from '@nestjs/common';
import { OpenStreams } from './open-streams.js';
import { SharedFeeds } from './shared-feeds.js';
import { StreamDelivery } from './stream-delivery.js';
import { StreamLinks } from './stream-links.js';
import { StreamsController } from './streams.controller.js';
import { StreamsRepository } from './streams.repository.js';
import { StreamsService } from './streams.service.js';

@Module({
  controllers: [StreamsController],
  providers: [StreamsRepository, StreamsService, StreamDelivery, StreamLinks, OpenStreams, SharedFeeds],
  exports: [StreamLinks, OpenStreams],
})
export class StreamsModule {}
