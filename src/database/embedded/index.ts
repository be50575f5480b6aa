export { EmbeddedPostgres, type EmbeddedPostgresOptions, type EmbeddedState } from './embedded-postgres.js';
export { type EmbeddedLog } from './embedded-log.js';
export { StartRefused } from './start-refused.js';
export { findRunningServer } from './running-server.js';
