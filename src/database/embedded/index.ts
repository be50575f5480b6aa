export {
  EmbeddedPostgres,
  type EmbeddedLog,
  type EmbeddedPostgresOptions,
  type EmbeddedState,
} from './embedded-postgres.js';
export { StartRefused } from './start-refused.js';
