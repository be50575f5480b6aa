import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../../access/index.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import {
  DELIVERY_EXAMPLE,
  deliveryListQuery,
  type DeliveryListQuery,
  deliveryPage,
  deliverySchema,
  type DeliveryView,
  type Redelivered,
  redeliveredSchema,
  type Redelivery,
  redeliverySchema,
} from './deliveries.schema.js';
import { DeliveriesService } from './deliveries.service.js';
import { type Nothing, nothingSchema } from '../endpoints/webhooks.schema.js';

@ApiTags('Webhooks')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/deliveries')
export class DeliveriesController {
  constructor(private readonly deliveries: DeliveriesService) {}

  @Get()
  @Requires('delivery:read')
  @ApiOperation({
    summary: 'List deliveries',
    description: 'Kept for 30 days. For admins.',
  })
  @ApiZodResponse(200, deliveryPage, {
    description: 'A page of deliveries.',
    example: { data: [DELIVERY_EXAMPLE], next_cursor: null },
  })
  @ApiProblemResponses('invalid-request', 'invalid-cursor', 'unauthenticated', 'forbidden')
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: deliveryListQuery }) query: DeliveryListQuery,
  ): Promise<Page<DeliveryView>> {
    return this.deliveries.list(actor, query);
  }

  @Get(':id')
  @Requires('delivery:read')
  @ApiOperation({ summary: 'Get a delivery', description: 'For admins.' })
  @ApiZodResponse(200, deliverySchema, {
    description: 'The delivery with its last attempts.',
    example: DELIVERY_EXAMPLE,
  })
  @ApiProblemResponses('unauthenticated', 'forbidden', 'not-found')
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<DeliveryView> {
    return this.deliveries.get(actor, id);
  }

  @Post('redeliver')
  @HttpCode(202)
  @Requires('delivery:manage')
  @ApiOperation({
    summary: 'Redeliver in bulk',
    description: 'With the same ids and bodies, oldest first, 1,000 a request. For admins.',
  })
  @ApiZodResponse(202, redeliveredSchema, {
    description: 'To be sent at once.',
    example: { redelivered: 12, remaining: false },
  })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden')
  redeliverAll(
    @CurrentActor() actor: Actor,
    @Body({ schema: redeliverySchema }) { filter }: Redelivery,
  ): Promise<Redelivered> {
    return this.deliveries.redeliverAll(actor, filter);
  }

  @Post(':id/redeliver')
  @HttpCode(202)
  @Requires('delivery:manage')
  @ApiOperation({
    summary: 'Redeliver a delivery',
    description: 'With the same id and body; one that is over begins another ten attempts. For admins.',
  })
  @ApiZodResponse(202, deliverySchema, { description: 'To be sent at once.', example: DELIVERY_EXAMPLE })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'not-found', 'conflict')
  redeliver(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: nothingSchema }) _nothing: Nothing,
  ): Promise<DeliveryView> {
    return this.deliveries.redeliver(actor, id);
  }
}
