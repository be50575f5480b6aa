import { Body, Controller, Get, HttpCode, Post, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { answered } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import {
  callbackSecretSchema,
  type CallbackSecretView,
  type Nothing,
  nothingSchema,
  type RotatedCallbackSecret,
  rotatedCallbackSecretSchema,
} from '../endpoints/webhooks.schema.js';
import { WebhooksService } from '../endpoints/webhooks.service.js';

@ApiTags('Webhooks')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/callback-secret')
export class CallbackSecretController {
  constructor(private readonly webhooks: WebhooksService) {}

  @Get()
  @Requires('webhook:read')
  @ApiOperation({
    summary: 'Get the callback secret',
    description: 'Never the secret itself. For admins.',
  })
  @ApiZodResponse(200, callbackSecretSchema, {
    description: 'How old it is, and how it ends.',
    example: { created_at: '2030-01-07T09:00:00.000Z', last_four: 'kQ8=' },
  })
  @ApiProblemResponses('unauthenticated', 'forbidden')
  get(@CurrentActor() actor: Actor): Promise<CallbackSecretView> {
    return this.webhooks.callbackSecret(actor);
  }

  @Post('rotate')
  @HttpCode(200)
  @Requires('webhook:manage')
  @ApiOperation({
    summary: 'Rotate the callback secret',
    description: 'It is in this reply and never again. For 24 hours the old one signs beside the new one. For admins.',
  })
  @ApiZodResponse(200, rotatedCallbackSecretSchema, {
    description: 'The new secret.',
    example: {
      secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDHJjsY5dZkQ8=',
      created_at: '2030-01-07T09:00:00.000Z',
      last_four: 'kQ8=',
      note: 'Keep the secret now: it cannot be shown again. For 24 hours the old one signs beside it.',
    },
  })
  @ApiProblemResponses(
    'invalid-request',
    'unauthenticated',
    'forbidden',
    'idempotency-in-progress',
    'idempotency-mismatch',
  )
  async rotate(
    @CurrentActor() actor: Actor,
    @Body({ schema: nothingSchema }) _nothing: Nothing,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RotatedCallbackSecret> {
    return answered(reply, await this.webhooks.rotateCallbackSecret(actor, ticket));
  }
}
