import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiProblemResponses } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import { ApiStreamResponse } from './api-stream-response.js';
import { StreamDelivery } from '../broadcast/stream-delivery.js';
import { type FeedQuery, feedQuerySchema } from './streams.schema.js';

const EXAMPLE = {
  run_id: '0198f0a0-0000-7000-8000-000000000001',
  run_number: 1,
  seq: 2,
  type: 'status',
  at: '2026-01-31T09:00:00.000Z',
  data: { status: 'running', attempt: 1 },
};

/** The stream of a task stands with the task's routes and is delivered with the others. */
@ApiTags('Streams')
@Controller('api/v1/tasks')
export class TaskStreamController {
  constructor(private readonly delivery: StreamDelivery) {}

  @Get(':id/stream')
  @Requires('stream:read')
  @ApiOperation({
    summary: 'Stream all runs of a task',
    description:
      'Every event of every run, child runs and those to come included. Each run’s events come in their order and once; between runs, by ' +
      'time. The `id` of a frame is an opaque cursor that resumes the feed on any replica; where more than 32 runs are under way at once, later ' +
      'ones follow when an earlier one ends. The feed has no end of its own. `application/x-ndjson` is a download of what is there; ' +
      '`text/plain` is for people.',
  })
  @ApiStreamResponse('The feed.', {
    id: '1.WzEsMSwyXQ.0Zb1',
    event: 'status',
    data: EXAMPLE,
    text: '--  run 1\n09:00:00  running (attempt 1)\n',
  })
  @ApiProblemResponses('invalid-cursor')
  async follow(
    @Param('id', { schema: idParam }) taskId: string,
    @Query({ schema: feedQuerySchema }) query: FeedQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.delivery.deliverTask({ actor, taskId, query, request, reply });
  }
}
