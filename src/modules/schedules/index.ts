export { ScheduleEntity, ScheduleSlotEntity } from './schedule.entity.js';
export { ScheduleRunner } from './firing/schedule-runner.js';
export { ScheduleDispatcher } from './firing/schedule-dispatcher.js';
export { SchedulesModule } from './schedules.module.js';
export { scheduleInfoJson, type StoredScheduleInfo } from './api/schedules.repository.js';
export {
  cronText,
  schedulePatch,
  type SchedulePatch,
  scheduleSettings,
  type ScheduleSettings,
  timezoneText,
} from './api/schedules.schema.js';
export { type ScheduleInfo, SchedulesService } from './api/schedules.service.js';
