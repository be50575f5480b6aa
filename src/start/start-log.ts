import type { LoggerService } from '@nestjs/common';
import type { PinoLog } from '../http/pino-log.js';

/** Nest's log while the application is made: an error that stops the start is told once, in a sentence, by `main`. */
export class StartLog implements LoggerService {
  constructor(private readonly pinoLog: PinoLog) {}

  log(message: unknown, facts?: unknown): void {
    this.pinoLog.debug(message, facts);
  }

  debug(message: unknown, facts?: unknown): void {
    this.pinoLog.debug(message, facts);
  }

  warn(message: unknown, facts?: unknown): void {
    this.pinoLog.warn(message, facts);
  }

  error(message: unknown, facts?: unknown): void {
    this.pinoLog.debug(message, facts);
  }
}
