export { ScheduleEntity } from './schedule.entity.js';
export { SchedulesModule } from './schedules.module.js';
export { scheduleInfoJson, type StoredScheduleInfo } from './schedules.repository.js';
export {
  cronText,
  laterScheduleFields,
  schedulePatch,
  type SchedulePatch,
  scheduleSettings,
  type ScheduleSettings,
  timezoneText,
} from './schedules.schema.js';
export { type ScheduleInfo, SchedulesService } from './schedules.service.js';
