import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { answered, created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import { DELIVERY_EXAMPLE, deliverySchema, type DeliveryView } from '../deliveries/deliveries.schema.js';
import {
  type NewWebhook,
  newWebhookSchema,
  type Nothing,
  nothingSchema,
  type WebhookChanged,
  webhookChangedSchema,
  WEBHOOK_EXAMPLE,
  webhookListQuery,
  type WebhookListQuery,
  webhookPage,
  type WebhookPatch,
  webhookPatchSchema,
  webhookSchema,
  type WebhookView,
  type WebhookWithSecret,
  webhookWithSecretSchema,
} from './webhooks.schema.js';
import { WebhooksService } from './webhooks.service.js';

const SECRET_EXAMPLE: WebhookWithSecret = {
  ...WEBHOOK_EXAMPLE,
  secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDHJjsY5dZkQ8=',
  note: 'Keep the secret now: it cannot be shown again.',
};

@ApiTags('Webhooks')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/webhooks')
export class WebhooksController {
  constructor(private readonly webhooks: WebhooksService) {}

  @Get()
  @Requires('webhook:read')
  @ApiOperation({ summary: 'List webhooks', description: 'For admins.' })
  @ApiZodResponse(200, webhookPage, {
    description: 'A page of webhooks.',
    example: { data: [WEBHOOK_EXAMPLE], next_cursor: null },
  })
  @ApiProblemResponses('invalid-request', 'invalid-cursor', 'unauthenticated', 'forbidden')
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: webhookListQuery }) query: WebhookListQuery,
  ): Promise<Page<WebhookView>> {
    return this.webhooks.list(actor, query);
  }

  @Post()
  @Requires('webhook:manage')
  @ApiOperation({
    summary: 'Create a webhook',
    description:
      'Each event is a signed POST (Standard Webhooks) with `{type, timestamp, data: {task, run}}`. The secret is in this reply and ' +
      'never again. For admins.',
  })
  @ApiZodResponse(201, webhookWithSecretSchema, { description: 'Made, with its secret.', example: SECRET_EXAMPLE })
  @ApiProblemResponses(
    'invalid-request',
    'unauthenticated',
    'forbidden',
    'limit-reached',
    'idempotency-in-progress',
    'idempotency-mismatch',
  )
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newWebhookSchema }) input: NewWebhook,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<WebhookWithSecret> {
    return created(reply, await this.webhooks.create(actor, input, ticket), ({ id }) => `/api/v1/webhooks/${id}`);
  }

  @Get(':id')
  @Requires('webhook:read')
  @ApiOperation({ summary: 'Get a webhook', description: 'For admins.' })
  @ApiZodResponse(200, webhookSchema, { description: 'The webhook, without its secret.', example: WEBHOOK_EXAMPLE })
  @ApiProblemResponses('unauthenticated', 'forbidden', 'not-found')
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<WebhookView> {
    return this.webhooks.get(actor, id);
  }

  @Patch(':id')
  @Requires('webhook:manage')
  @ApiOperation({
    summary: 'Update a webhook',
    description:
      'The body is a JSON merge patch (RFC 7396). A webhook that is pointed at another origin gets a new secret, which only this response shows. Enabling it starts its deliveries again. For admins.',
  })
  @ApiZodResponse(200, webhookChangedSchema, { description: 'The webhook as it is now.', example: WEBHOOK_EXAMPLE })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'not-found')
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: webhookPatchSchema }) patch: WebhookPatch,
  ): Promise<WebhookChanged> {
    return this.webhooks.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('webhook:manage')
  @ApiOperation({
    summary: 'Delete a webhook',
    description: 'What was still to be sent there is called off. For admins.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('unauthenticated', 'forbidden', 'not-found')
  async remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    await this.webhooks.remove(actor, id);
  }

  @Post(':id/rotate-secret')
  @HttpCode(200)
  @Requires('webhook:manage')
  @ApiOperation({
    summary: 'Rotate the secret of a webhook',
    description: 'For 24 hours deliveries carry two signatures, of the old one and the new one. For admins.',
  })
  @ApiZodResponse(200, webhookWithSecretSchema, {
    description: 'The webhook, with its new secret.',
    example: SECRET_EXAMPLE,
  })
  @ApiProblemResponses(
    'invalid-request',
    'unauthenticated',
    'forbidden',
    'not-found',
    'idempotency-in-progress',
    'idempotency-mismatch',
  )
  async rotateSecret(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: nothingSchema }) _nothing: Nothing,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<WebhookWithSecret> {
    return answered(reply, await this.webhooks.rotateSecret(actor, id, ticket));
  }

  @Post(':id/test')
  @HttpCode(202)
  @Requires('webhook:manage')
  @ApiOperation({
    summary: 'Send a test event',
    description: 'A `webhook.test`, signed and tried as every other is. `Location` is its delivery. For admins.',
  })
  @ApiZodResponse(202, deliverySchema, {
    description: 'To be sent at once.',
    example: { ...DELIVERY_EXAMPLE, kind: 'test', type: 'webhook.test', task_id: null, run_id: null },
  })
  @ApiProblemResponses(
    'invalid-request',
    'unauthenticated',
    'forbidden',
    'not-found',
    'conflict',
    'idempotency-in-progress',
    'idempotency-mismatch',
  )
  async test(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: nothingSchema }) _nothing: Nothing,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeliveryView> {
    const outcome = await this.webhooks.test(actor, id, ticket);
    return created(reply, outcome, (delivery) => `/api/v1/deliveries/${delivery.id}`);
  }
}
