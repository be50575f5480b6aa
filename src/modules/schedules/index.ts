export { ScheduleEntity, ScheduleSlotEntity } from './schedule.entity.js';
export { ScheduleRunner } from './schedule-clockwork.js';
export { ScheduleDispatcher } from './schedule-firing.js';
export { SchedulesModule } from './schedules.module.js';
export { scheduleInfoJson, type StoredScheduleInfo } from './schedules.repository.js';
export {
  cronText,
  schedulePatch,
  type SchedulePatch,
  scheduleSettings,
  type ScheduleSettings,
  timezoneText,
} from './schedules.schema.js';
export { type ScheduleInfo, SchedulesService } from './schedules.service.js';
