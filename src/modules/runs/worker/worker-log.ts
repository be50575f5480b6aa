/**
 * Log lines and problems, as workers report them: what a program wrote or caught, in whatever form its libraries give it. A batch of events
 * is not refused for one of them: levels have other names, texts are of other types, members stand beside. Long texts are cut after
 * redaction (`worker-text-redactor.ts`).
 */
import { asWorkerError, isObject, textOf } from './worker-error.js';

export const LOG_LEVELS = ['debug', 'info', 'warning', 'error'] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

/** Names of levels elsewhere: syslog, Python's logging, pino, log4j. */
const LEVEL_OF_NAME: ReadonlyMap<string, LogLevel> = new Map<string, LogLevel>([
  ...LOG_LEVELS.map((level): [string, LogLevel] => [level, level]),
  ['trace', 'debug'],
  ['verbose', 'debug'],
  ['notice', 'info'],
  ['warn', 'warning'],
  ['err', 'error'],
  ['fatal', 'error'],
  ['critical', 'error'],
  ['crit', 'error'],
  ['alert', 'error'],
  ['emerg', 'error'],
  ['panic', 'error'],
]);

/** The data of a `log` event; what is no object or text is left to the schema. A level that is not known is left out. */
export function asLog(value: unknown): unknown {
  if (typeof value === 'string') {
    return { text: value };
  }
  if (!isObject(value)) {
    return value;
  }
  const level = typeof value['level'] === 'string' ? LEVEL_OF_NAME.get(value['level'].trim().toLowerCase()) : undefined;
  return { ...(level === undefined ? {} : { level }), text: textOfLog(value) };
}

/** The data of a `problem` event: an error without its stack trace. */
export function asProblem(value: unknown): unknown {
  if (value === undefined || value === null) {
    return value;
  }
  const { name, message } = asWorkerError(value);
  return { name, message };
}

/** Undefined for a line without any text, which the schema refuses: its author mistook a name. */
function textOfLog({ text, message }: Readonly<Record<string, unknown>>): string | undefined {
  return typeof text === 'string' ? text : (textOf(text) ?? textOf(message) ?? undefined);
}
