import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { answered } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import { RUN_EXAMPLE, runSchema, type RunView } from '../../runs/index.js';
import { SCHEDULE_EXAMPLE, SLOT_EXAMPLE, STATS_EXAMPLE } from './schedule.examples.js';
import { ScheduleControlService } from './schedule-control.service.js';
import {
  type Backfilled,
  type BackfillRequest,
  backfilledSchema,
  backfillRequest,
  type Changed,
  changedSchema,
  emptyRequest,
  type PauseManyRequest,
  type PauseRequest,
  pauseManyRequest,
  pauseRequest,
  type ResumeManyRequest,
  resumeManyRequest,
  type Schedule,
  scheduleSchema,
  type Slot,
  type SlotListQuery,
  slotListQuery,
  slotPage,
  type Stats,
  type StatsQuery,
  statsQuery,
  statsSchema,
} from './schedules.schema.js';

@ApiTags('Schedules')
@ApiBearerAuth('bearer')
@Controller('api/v1/schedules')
export class ScheduleControlController {
  constructor(private readonly control: ScheduleControlService) {}

  @Post('pause')
  @HttpCode(200)
  @Requires('schedule:contribute')
  @ApiOperation({ summary: 'Pause schedules in bulk', description: 'Of those that you may change.' })
  @ApiZodResponse(200, changedSchema, { description: 'How many were not paused before.', example: { changed: 12 } })
  pauseMany(
    @CurrentActor() actor: Actor,
    @Body({ schema: pauseManyRequest }) { reason, ...filter }: PauseManyRequest,
  ): Promise<Changed> {
    return this.control.switchMany(actor, filter, false, reason ?? null);
  }

  @Post('resume')
  @HttpCode(200)
  @Requires('schedule:contribute')
  @ApiOperation({ summary: 'Resume schedules in bulk', description: 'Of those that you may change.' })
  @ApiZodResponse(200, changedSchema, { description: 'How many were paused before.', example: { changed: 12 } })
  resumeMany(
    @CurrentActor() actor: Actor,
    @Body({ schema: resumeManyRequest }) filter: ResumeManyRequest,
  ): Promise<Changed> {
    return this.control.switchMany(actor, filter, true, null);
  }

  @Post(':id/trigger')
  @HttpCode(200)
  @Requires('schedule:contribute')
  @ApiOperation({
    summary: 'Run a schedule now',
    description: 'A run of no slot, whatever else is running, paused or not. Takes Idempotency-Key.',
  })
  @ApiZodResponse(200, runSchema, { description: 'The run.', example: RUN_EXAMPLE })
  @ApiProblemResponses('conflict', 'limit-reached', 'budget-exceeded')
  async trigger(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: emptyRequest }) _body: object,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RunView> {
    return answered(reply, await this.control.trigger(actor, id, ticket));
  }

  @Post(':id/pause')
  @HttpCode(200)
  @Requires('schedule:contribute')
  @ApiOperation({ summary: 'Pause a schedule', description: 'Slots that come meanwhile are not made up for.' })
  @ApiZodResponse(200, scheduleSchema, {
    description: 'The schedule.',
    example: { ...SCHEDULE_EXAMPLE, enabled: false, paused_at: '2030-01-05T10:00:00.000Z', next_execution_at: null },
  })
  @ApiProblemResponses('conflict')
  pause(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: pauseRequest }) { reason }: PauseRequest,
  ): Promise<Schedule> {
    return this.control.pause(actor, id, reason ?? null);
  }

  @Post(':id/resume')
  @HttpCode(200)
  @Requires('schedule:contribute')
  @ApiOperation({ summary: 'Resume a schedule', description: 'From now on: slots of the pause are not fired.' })
  @ApiZodResponse(200, scheduleSchema, { description: 'The schedule.', example: SCHEDULE_EXAMPLE })
  @ApiProblemResponses('conflict')
  resume(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: emptyRequest }) _body: object,
  ): Promise<Schedule> {
    return this.control.resume(actor, id);
  }

  @Post(':id/backfill')
  @HttpCode(200)
  @Requires('schedule:contribute')
  @ApiOperation({
    summary: 'Backfill a schedule',
    description: 'At most 500 slots, all at once; the overlap rule does not hold for them. Takes Idempotency-Key.',
  })
  @ApiZodResponse(200, backfilledSchema, {
    description: 'What was made.',
    example: { backfilled: 1, fired_before: 4, run_ids: [SLOT_EXAMPLE.run_id] },
  })
  @ApiProblemResponses('budget-exceeded')
  async backfill(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: backfillRequest }) body: BackfillRequest,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Backfilled> {
    return answered(reply, await this.control.backfill(actor, id, body, ticket));
  }

  @Get(':id/slots')
  @Requires('schedule:read')
  @ApiOperation({
    summary: 'List the slots of a schedule',
    description: 'Newest first. Why the slot of nine o’clock did not run: `?from=…T09:00:00Z&to=…T09:00:01Z`.',
  })
  @ApiZodResponse(200, slotPage, {
    description: 'A page of slots.',
    example: { data: [SLOT_EXAMPLE], next_cursor: null },
  })
  slots(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: slotListQuery }) query: SlotListQuery,
  ): Promise<Page<Slot>> {
    return this.control.slots(actor, id, query);
  }

  @Get(':id/stats')
  @Requires('schedule:read')
  @ApiOperation({ summary: 'Get the statistics of a schedule', description: 'How late it fires, what it missed.' })
  @ApiZodResponse(200, statsSchema, { description: 'Counts and lags of the last days.', example: STATS_EXAMPLE })
  stats(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: statsQuery }) query: StatsQuery,
  ): Promise<Stats> {
    return this.control.stats(actor, id, query);
  }
}
