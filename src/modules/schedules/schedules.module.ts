import { Module } from '@nestjs/common';
import { RunsModule } from '../runs/index.js';
import { FireTimes } from './fire-times.js';
import { ScheduleDispatchRepository } from './firing.repository.js';
import { ScheduleRunner } from './schedule-clockwork.js';
import { ScheduleControlController } from './schedule-control.controller.js';
import { ScheduleControlService } from './schedule-control.service.js';
import { ScheduleDispatcher } from './schedule-firing.js';
import { ScheduleLedgerQuery } from './schedule-ledger.query.js';
import { ScheduleNotifier } from './schedule-news.js';
import { SchedulesController } from './schedules.controller.js';
import { SchedulesRepository } from './schedules.repository.js';
import { SchedulesService } from './schedules.service.js';

@Module({
  imports: [RunsModule],
  controllers: [ScheduleControlController, SchedulesController],
  providers: [
    FireTimes,
    ScheduleDispatchRepository,
    ScheduleRunner,
    ScheduleControlService,
    ScheduleDispatcher,
    ScheduleLedgerQuery,
    ScheduleNotifier,
    SchedulesRepository,
    SchedulesService,
  ],
  exports: [SchedulesService, ScheduleDispatcher, ScheduleRunner],
})
export class SchedulesModule {}
