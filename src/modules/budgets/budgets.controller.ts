import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import type { IdempotencyTicket } from '../../database/idempotency.js';
import { created } from '../../http/decorators/created.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import type { Page } from '../../kernel/page.js';
import {
  BUDGET_EXAMPLE,
  budgetListQuery,
  type BudgetListQuery,
  budgetPage,
  type BudgetPatch,
  budgetPatchSchema,
  budgetSchema,
  type BudgetView,
  type NewBudgetInput,
  newBudgetSchema,
} from './budgets.schema.js';
import { BudgetsService } from './budgets.service.js';

@ApiTags('Budgets')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/budgets')
export class BudgetsController {
  constructor(private readonly budgets: BudgetsService) {}

  @Get()
  @Requires('budget:read')
  @ApiOperation({ summary: 'List budgets', description: 'For admins.' })
  @ApiZodResponse(200, budgetPage, {
    description: 'A page of budgets.',
    example: { data: [BUDGET_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: budgetListQuery }) query: BudgetListQuery,
  ): Promise<Page<BudgetView>> {
    return this.budgets.list(actor, query);
  }

  @Post()
  @Requires('budget:manage')
  @ApiOperation({
    summary: 'Create a budget',
    description: 'It counts from now on. Scope and period are for good; make another budget for others. For admins.',
  })
  @ApiZodResponse(201, budgetSchema, { description: 'Created.', example: BUDGET_EXAMPLE })
  @ApiProblemResponses('limit-reached')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newBudgetSchema }) input: NewBudgetInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BudgetView> {
    return created(reply, await this.budgets.create(actor, input, ticket), ({ id }) => `/api/v1/budgets/${id}`);
  }

  @Get(':id')
  @Requires('budget:read')
  @ApiOperation({ summary: 'Get a budget', description: 'For admins.' })
  @ApiZodResponse(200, budgetSchema, { description: 'The budget.', example: BUDGET_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<BudgetView> {
    return this.budgets.get(actor, id);
  }

  @Patch(':id')
  @Requires('budget:manage')
  @ApiOperation({
    summary: 'Update a budget',
    description: 'The body is a JSON merge patch (RFC 7396). What is spent stays counted. For admins.',
  })
  @ApiZodResponse(200, budgetSchema, { description: 'The budget as it is now.', example: BUDGET_EXAMPLE })
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: budgetPatchSchema }) patch: BudgetPatch,
  ): Promise<BudgetView> {
    return this.budgets.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('budget:manage')
  @ApiOperation({ summary: 'Delete a budget', description: 'For admins.' })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  async remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    await this.budgets.remove(actor, id);
  }
}
