/** The process cannot start; the message is the one sentence that says what to set. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}
