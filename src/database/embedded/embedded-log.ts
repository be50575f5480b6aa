/** Where the supervisor says what happens to the server; any logger of the process fits. */
export interface EmbeddedLog {
  info(message: string, detail?: object): void;
  warn(message: string, detail?: object): void;
  error(message: string, detail?: object): void;
}
