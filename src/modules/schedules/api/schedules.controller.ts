import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import { SCHEDULE_EXAMPLE } from './schedule.examples.js';
import {
  type NewSchedule,
  type Preview,
  type PreviewRequest,
  type Schedule,
  type ScheduleListQuery,
  type SchedulePatch,
  type Upcoming,
  type UpcomingQuery,
  newSchedule,
  previewRequest,
  previewSchema,
  scheduleListQuery,
  schedulePage,
  schedulePatch,
  scheduleSchema,
  upcomingQuery,
  upcomingSchema,
} from './schedules.schema.js';
import { SchedulesService } from './schedules.service.js';

@ApiTags('Schedules')
@ApiBearerAuth('bearer')
@Controller('api/v1/schedules')
export class SchedulesController {
  constructor(private readonly schedules: SchedulesService) {}

  @Get()
  @Requires('schedule:read')
  @ApiOperation({
    summary: 'List schedules',
    description: 'Returns the schedules of the tasks that you can read, a page at a time.',
  })
  @ApiZodResponse(200, schedulePage, {
    description: 'A page of schedules.',
    example: { data: [SCHEDULE_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: scheduleListQuery }) query: ScheduleListQuery,
  ): Promise<Page<Schedule>> {
    return this.schedules.list(actor, query);
  }

  @Post()
  @Requires('schedule:contribute')
  @ApiOperation({ summary: 'Create a schedule', description: 'Takes Idempotency-Key.' })
  @ApiZodResponse(201, scheduleSchema, { description: 'The schedule.', example: SCHEDULE_EXAMPLE })
  @ApiProblemResponses('already-exists')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newSchedule }) body: NewSchedule,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Schedule> {
    return created(reply, await this.schedules.create(actor, body, ticket), ({ id }) => `/api/v1/schedules/${id}`);
  }

  @Post('preview')
  @HttpCode(200)
  @Requires('schedule:read')
  @ApiOperation({
    summary: 'Preview a schedule',
    description:
      'Validates a schedule rule and returns it in words, with the next times at which it fires. Nothing is stored.',
  })
  @ApiZodResponse(200, previewSchema, {
    description: 'The rule in words and its next fires.',
    example: {
      cron: '0 9 * * 1-5',
      every_seconds: null,
      at: null,
      timezone: 'Europe/London',
      description: SCHEDULE_EXAMPLE.description,
      upcoming: ['2030-01-07T09:00:00.000Z', '2030-01-08T09:00:00.000Z'],
    },
  })
  async preview(
    @CurrentActor() actor: Actor,
    @Body({ schema: previewRequest }) body: PreviewRequest,
  ): Promise<Preview> {
    return this.schedules.preview(actor, body);
  }

  @Get(':id')
  @Requires('schedule:read')
  @ApiOperation({
    summary: 'Get a schedule',
    description: 'Returns a schedule with its rule, its next time and its state.',
  })
  @ApiZodResponse(200, scheduleSchema, { description: 'The schedule.', example: SCHEDULE_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<Schedule> {
    return this.schedules.get(actor, id);
  }

  @Patch(':id')
  @Requires('schedule:contribute')
  @ApiOperation({
    summary: 'Update a schedule',
    description: 'Updates a schedule by JSON merge patch (RFC 7396). Requires write access to its task.',
  })
  @ApiZodResponse(200, scheduleSchema, { description: 'The schedule as it is now.', example: SCHEDULE_EXAMPLE })
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: schedulePatch }) patch: SchedulePatch,
  ): Promise<Schedule> {
    return this.schedules.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('schedule:contribute')
  @ApiOperation({
    summary: 'Delete a schedule',
    description: 'Deletes a schedule. Its task and the runs that it started stay.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  async remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    await this.schedules.remove(actor, id);
  }

  @Get(':id/upcoming')
  @Requires('schedule:read')
  @ApiOperation({
    summary: 'List the upcoming times of a schedule',
    description: 'Returns the next times at which a schedule fires, soonest first.',
  })
  @ApiZodResponse(200, upcomingSchema, {
    description: 'The next moments, soonest first.',
    example: { data: ['2030-01-07T09:00:00.000Z'] },
  })
  upcoming(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: upcomingQuery }) query: UpcomingQuery,
  ): Promise<Upcoming> {
    return this.schedules.upcoming(actor, id, query);
  }
}
