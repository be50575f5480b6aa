export {
  insertGatheredBatches,
  insertGatheredLogLines,
  insertLogLines,
  insertServerEvents,
  insertWorkerBatch,
  priorBatch,
  type ServerEvent,
  type WorkerBatch,
} from './stream-append.query.js';
export { EVENT_TYPES, type EventType, type StreamEvent } from './stream-event.js';
export { StreamLinks, type StreamUrl } from './stream-links.js';
export { StreamCompactor } from './stream-compactor.js';
export { ConnectionRegistry } from './open-streams.js';
export { StreamsModule } from './streams.module.js';
