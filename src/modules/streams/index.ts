export {
  insertGatheredBatches,
  insertGatheredLogLines,
  insertLogLines,
  insertServerEvents,
  insertWorkerBatch,
  priorBatch,
  type ServerEvent,
  type WorkerBatch,
} from './log/stream-append.query.js';
export { EVENT_TYPES, type EventType, type StreamEvent } from './log/stream-event.js';
export { StreamLinks, type StreamUrl } from './api/stream-links.js';
export { StreamCompactor } from './log/stream-compactor.js';
export { ConnectionRegistry } from './broadcast/connection-registry.js';
export { StreamsModule } from './streams.module.js';
