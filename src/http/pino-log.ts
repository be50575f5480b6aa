import type { LoggerService } from '@nestjs/common';
import { type Logger, pino, stdSerializers } from 'pino';
import { Log } from '../kernel/log.js';

/** Header and field names whose values never reach a log, wherever they turn up. */
const SECRET_PATHS = [
  'authorization',
  'cookie',
  'api-key',
  'apikey',
  'x-api-key',
  'password',
  'current',
  'new',
  'key',
  'secret',
  'token',
  'access_token',
  'refresh_token',
  'fence',
].flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]);

/** The process's root logger: JSON lines on standard output, errors with their stacks, secrets cut out. */
export function createPino(level: string): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_PATHS, censor: '[redacted]' },
    serializers: { error: stdSerializers.err, err: stdSerializers.err },
  });
}

/** Our log, and Nest's, over one pino. */
export class PinoLog extends Log implements LoggerService {
  constructor(private readonly pino: Logger) {
    super();
  }

  info(message: string, facts: Readonly<Record<string, unknown>> = {}): void {
    this.pino.info(facts, message);
  }

  warn(message: unknown, facts?: unknown): void {
    this.pino.warn(factsOf(facts), String(message));
  }

  error(message: unknown, facts?: unknown): void {
    this.pino.error(factsOf(facts), String(message));
  }

  debug(message: unknown, facts?: unknown): void {
    this.pino.debug(factsOf(facts), String(message));
  }

  /** Nest's own chatter at start: for the curious. */
  log(message: unknown, facts?: unknown): void {
    this.pino.debug(factsOf(facts), String(message));
  }
}

function factsOf(facts: unknown): object {
  if (typeof facts === 'object' && facts !== null) {
    return facts;
  }
  return facts === undefined ? {} : { context: facts };
}
