import { Module } from '@nestjs/common';
import { FireTimes } from './fire-times.js';
import { SchedulesController } from './schedules.controller.js';
import { SchedulesRepository } from './schedules.repository.js';
import { SchedulesService } from './schedules.service.js';

@Module({
  controllers: [SchedulesController],
  providers: [FireTimes, SchedulesRepository, SchedulesService],
  exports: [SchedulesService],
})
export class SchedulesModule {}
