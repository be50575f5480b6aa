import { Module } from '@nestjs/common';
import { RunsModule } from '../runs/index.js';
import { FireTimes } from './rules/fire-times.js';
import { ScheduleDispatchRepository } from './firing/schedule-dispatch.repository.js';
import { ScheduleRunner } from './firing/schedule-runner.js';
import { ScheduleControlController } from './api/schedule-control.controller.js';
import { ScheduleControlService } from './api/schedule-control.service.js';
import { ScheduleDispatcher } from './firing/schedule-dispatcher.js';
import { ScheduleLedgerQuery } from './api/schedule-ledger.query.js';
import { ScheduleNotifier } from './firing/schedule-notifier.js';
import { SchedulesController } from './api/schedules.controller.js';
import { SchedulesRepository } from './api/schedules.repository.js';
import { SchedulesService } from './api/schedules.service.js';

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
