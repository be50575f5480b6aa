import { Body, Controller, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import {
  claimReplySchema,
  claimSchema,
  completeSchema,
  endReplySchema,
  eventsReplySchema,
  eventsSchema,
  failSchema,
  fenceOnlySchema,
  heartbeatReplySchema,
  heartbeatSchema,
  type ClaimInput,
  type CompleteInput,
  type EventsInput,
  type FailInput,
} from './worker.schema.js';
import type { ClaimedWork } from './claim-batcher.js';
import { WorkerService, type EndReply } from './worker.service.js';

const ENDED_EXAMPLE = { id: '0190a5c8-7a00-7000-8000-000000000001', status: 'completed' };

@ApiTags('Workers')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/worker')
export class WorkerController {
  constructor(private readonly workers: WorkerService) {}

  @Post('claim')
  @HttpCode(200)
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Claim runs',
    description:
      'Leases up to `max` due runs of the agents named. Each comes with a fence, which every later request for the run must carry. With `wait_seconds`, the request waits for work; when too many claims of the key or the organization wait already, the response is 429 with `Retry-After`.',
  })
  @ApiZodResponse(200, claimReplySchema, {
    description: 'The runs leased; none when nothing was due.',
    example: { runs: [] },
  })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'limit-reached')
  claim(
    @CurrentActor() actor: Actor,
    @Body({ schema: claimSchema }) input: ClaimInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ runs: ClaimedWork[] }> {
    return this.workers.claim(actor, input, goneSignal(reply));
  }

  @Post('runs/:id/heartbeat')
  @HttpCode(200)
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Extend a lease (heartbeat)',
    description: 'Extends the lease of a run by its full length. Send one at least every third of the lease.',
  })
  @ApiZodResponse(200, heartbeatReplySchema, {
    description: 'Extended. Stop the work where `cancel_requested` is true.',
    example: { expires_in_seconds: 60, cancel_requested: false },
  })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'lease-lost')
  heartbeat(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: heartbeatSchema }) input: { fence: string },
  ) {
    return this.workers.heartbeat(actor, id, input.fence);
  }

  @Post('runs/:id/events')
  @HttpCode(200)
  @BodyLimit('large', { keepsHalves: true })
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Append events',
    description:
      'Stores events in the log of a run. Sending the same `batch_id` again returns the first reply and stores nothing.',
  })
  @ApiZodResponse(200, eventsReplySchema, {
    description: 'Appended, durable.',
    example: { last_seq: 12, cancel_requested: false },
  })
  @ApiProblemResponses(
    'invalid-request',
    'payload-too-large',
    'unauthenticated',
    'forbidden',
    'lease-lost',
    'batch-mismatch',
  )
  events(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: eventsSchema }) input: EventsInput,
  ) {
    return this.workers.append(actor, id, input);
  }

  @Post('runs/:id/complete')
  @HttpCode(200)
  @BodyLimit('large', { repairsText: true })
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Complete a run',
    description: 'Ends the run as completed. Sending the same request again returns the same reply.',
  })
  @ApiZodResponse(200, endReplySchema, {
    description: 'Ended; the same request again gets this again.',
    example: ENDED_EXAMPLE,
  })
  @ApiProblemResponses('invalid-request', 'payload-too-large', 'unauthenticated', 'forbidden', 'lease-lost')
  complete(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: completeSchema }) input: CompleteInput,
  ): Promise<EndReply> {
    return this.workers.complete(actor, id, input);
  }

  @Post('runs/:id/fail')
  @HttpCode(200)
  @BodyLimit('large', { isReport: true })
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Fail an attempt',
    description: 'The run is tried again after a back-off while it has attempts left, unless `retry` is false.',
  })
  @ApiZodResponse(200, endReplySchema, {
    description: 'Queued for another attempt, or failed for good.',
    example: { ...ENDED_EXAMPLE, status: 'queued' },
  })
  @ApiProblemResponses('invalid-request', 'payload-too-large', 'unauthenticated', 'forbidden', 'lease-lost')
  fail(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: failSchema }) input: FailInput,
  ): Promise<EndReply> {
    return this.workers.fail(actor, id, input);
  }

  @Post('runs/:id/canceled')
  @HttpCode(200)
  @BodyLimit('normal', { isReport: true })
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Confirm the cancellation of a run',
    description: 'Ends the run as canceled. Use it when a heartbeat or an append returned `cancel_requested`.',
  })
  @ApiZodResponse(200, endReplySchema, { description: 'Ended.', example: { ...ENDED_EXAMPLE, status: 'canceled' } })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'lease-lost', 'conflict')
  canceled(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: fenceOnlySchema }) input: { fence: string },
  ): Promise<EndReply> {
    return this.workers.canceled(actor, id, input.fence);
  }

  @Post('runs/:id/release')
  @HttpCode(200)
  @BodyLimit('normal', { isReport: true })
  @Requires('worker:act')
  @ApiOperation({
    summary: 'Release a run',
    description:
      'Returns the run to the queue for another worker, for example when this one shuts down. The attempt does not count.',
  })
  @ApiZodResponse(200, endReplySchema, {
    description: 'Queued again.',
    example: { ...ENDED_EXAMPLE, status: 'queued' },
  })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'lease-lost')
  release(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: fenceOnlySchema }) input: { fence: string },
  ): Promise<EndReply> {
    return this.workers.release(actor, id, input.fence);
  }
}

/** Aborts when the client hangs up before it is answered, so that nothing is leased to nobody. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
