import { Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import { ApiStreamResponse } from './api-stream-response.js';
import { FOLLOW_ACCESS, StreamDelivery } from '../broadcast/stream-delivery.js';
import type { StreamUrl } from './stream-links.js';
import {
  type EventsQuery,
  eventsQuerySchema,
  type FollowQuery,
  feedQuerySchema,
  type FeedQuery,
  followQuerySchema,
  type StreamEvents,
  streamEventsSchema,
  streamUrlSchema,
} from './streams.schema.js';
import { StreamsService } from './streams.service.js';

const EXAMPLE_EVENT = {
  seq: 2,
  type: 'status',
  at: '2026-01-31T09:00:00.000Z',
  data: { status: 'running', attempt: 1 },
};

const EXAMPLE_LIFECYCLE = {
  type: 'run.started',
  at: '2026-01-31T09:00:00.000Z',
  task_id: '0198f0a0-0000-7000-8000-000000000000',
  run_id: '0198f0a0-0000-7000-8000-000000000001',
  run_number: 1,
  seq: 2,
  data: { status: 'running', attempt: 1 },
};

@ApiTags('Streams')
@Controller('api/v1/streams')
export class StreamsController {
  constructor(
    private readonly streams: StreamsService,
    private readonly delivery: StreamDelivery,
  ) {}

  @Get()
  @Requires('stream:read')
  @ApiOperation({
    summary: 'Stream the runs of the organization',
    description:
      'What a dashboard follows: each change of state of every run that the caller may see (`run.queued`, `run.delayed`, `run.started`, ' +
      '`run.waiting`, `run.completed`, `run.failed`, `run.timed_out`, `run.canceled`, `run.expired`), and its `asset`, `question` and `answer` ' +
      'events. What becomes of tasks and schedules is for webhooks. Begins with a `ready` frame and what happens from then on; `after=0` begins ' +
      'with the oldest kept. Each frame’s `id` resumes the feed for 24 hours, with nothing lost or repeated; an older one gets a `gap` first. ' +
      'Rights are looked up with every page.',
  })
  @ApiStreamResponse('The feed.', {
    id: '1.WyI3MzEi.0Zb1',
    event: 'run.started',
    data: EXAMPLE_LIFECYCLE,
    text: '09:00:00  running (attempt 1)\n',
  })
  @ApiProblemResponses('invalid-cursor')
  async followOrganization(
    @Query({ schema: feedQuerySchema }) query: FeedQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.delivery.deliverLifecycle({ actor, query, request, reply });
  }

  @Get(':id')
  @Requires(FOLLOW_ACCESS.action, FOLLOW_ACCESS)
  @ApiOperation({
    summary: 'Stream a run',
    description:
      'Server-sent events: every event of the run after the cursor, those to come included, until its `end`. A lost connection is ' +
      'resumed with `Last-Event-ID`, on any replica, with nothing lost or repeated. Frames `gap` (events dropped for their age) and ' +
      '`reconnect` (come back with your cursor) are never stored. `application/x-ndjson` is a download of what is there; ' +
      '`text/plain` is for people: `curl -N -H "Accept: text/plain" …`.',
  })
  @ApiStreamResponse('The stream.', {
    id: '2',
    event: 'status',
    data: EXAMPLE_EVENT,
    text: '09:00:00  running (attempt 1)\n',
  })
  @ApiZodResponse(204, null, {
    description: 'The cursor is the end of a stream that has ended: nothing more will come.',
  })
  async follow(
    @Param('id', { schema: idParam }) runId: string,
    @Query({ schema: followQuerySchema }) query: FollowQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.delivery.deliver({ actor, runId, query, request, reply });
  }

  @Get(':id/events')
  @Requires('stream:read')
  @ApiOperation({
    summary: 'List the events of a run',
    description:
      'Returns the stored events of a run in order, from the position `after`. To receive events as they happen, use `GET /api/v1/streams/{id}`.',
  })
  @ApiZodResponse(200, streamEventsSchema, {
    description:
      'Events after the cursor. Pages may be shorter than `limit`; go on while `next_after` is less than `last_seq`.',
    example: { data: [EXAMPLE_EVENT], next_after: 2, last_seq: 7, ended: true, gap: null },
  })
  @ApiProblemResponses('cursor-ahead')
  async listEvents(
    @Param('id', { schema: idParam }) runId: string,
    @Query({ schema: eventsQuerySchema }) query: EventsQuery,
    @CurrentActor() actor: Actor,
  ): Promise<StreamEvents> {
    return this.streams.listEvents(actor, runId, query);
  }

  @Post(':id/url')
  @HttpCode(200)
  @Requires('stream:read')
  @ApiOperation({
    summary: 'Create a stream link',
    description:
      'Valid for 15 minutes, while the caller may read the stream, and until the session or the secret of the API key that it was made with ends. For ' +
      'EventSource, which cannot send headers.',
  })
  @ApiZodResponse(200, streamUrlSchema, {
    description: 'The link.',
    example: {
      url: 'http://localhost:3000/api/v1/streams/0198f0a0-0000-7000-8000-000000000001?expires=1767225600&issuer=0198c0de-0000-7000-8000-000000000002&organization=0198c0de-0000-7000-8000-000000000001&key=1&signature=uT3pXk0v9Qw',
      expires_at: '2026-01-31T09:15:00.000Z',
    },
  })
  async createUrl(@Param('id', { schema: idParam }) runId: string, @CurrentActor() actor: Actor): Promise<StreamUrl> {
    return this.streams.createUrl(actor, runId);
  }
}
