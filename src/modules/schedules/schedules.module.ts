import { Module } from '@nestjs/common';
import { RunsModule } from '../runs/index.js';
import { FireTimes } from './fire-times.js';
import { FiringRepository } from './firing.repository.js';
import { ScheduleClockwork } from './schedule-clockwork.js';
import { ScheduleControlController } from './schedule-control.controller.js';
import { ScheduleControl } from './schedule-control.service.js';
import { ScheduleFiring } from './schedule-firing.js';
import { ScheduleLedgerQuery } from './schedule-ledger.query.js';
import { ScheduleNews } from './schedule-news.js';
import { SchedulesController } from './schedules.controller.js';
import { SchedulesRepository } from './schedules.repository.js';
import { SchedulesService } from './schedules.service.js';

@Module({
  imports: [RunsModule],
  controllers: [ScheduleControlController, SchedulesController],
  providers: [
    FireTimes,
    FiringRepository,
    ScheduleClockwork,
    ScheduleControl,
    ScheduleFiring,
    ScheduleLedgerQuery,
    ScheduleNews,
    SchedulesRepository,
    SchedulesService,
  ],
  exports: [SchedulesService, ScheduleFiring, ScheduleClockwork],
})
export class SchedulesModule {}
