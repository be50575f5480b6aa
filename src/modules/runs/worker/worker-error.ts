/**
 * The error of an attempt, as workers report it. An error comes in whatever form it was caught in, and a report that is refused leaves
 * the run to the end of its lease and then to another attempt. So no form of the error is refused here: what is missing gets a default, what
 * has another type is written as text, and unknown members are ignored. (What the JSON parser refuses never gets here.) Long texts are cut after redaction (`worker-text-redactor.ts`).
 */
import { z } from 'zod';

const NO_MESSAGE = 'The worker gave no message.';

export const workerErrorSchema = z.object({
  message: z.string().describe('What went wrong. Cut after 8,192 characters; a default if it is missing or empty.'),
  name: z.string().default('Error').describe('The kind of error. Cut after 200 characters.'),
  stack_trace: z.string().nullable().default(null).describe('Cut after 65,536 characters. `stack` is read too.'),
});
export type WorkerError = z.output<typeof workerErrorSchema>;

/** The error that a worker means by `value`: an object such as JavaScript's `Error`, or a text. */
export function asWorkerError(value: unknown): WorkerError {
  if (!isObject(value)) {
    return { name: 'Error', message: textOf(value) ?? NO_MESSAGE, stack_trace: null };
  }
  return {
    name: textOf(value['name']) ?? 'Error',
    message: textOf(value['message']) ?? NO_MESSAGE,
    stack_trace: textOf(value['stack_trace']) ?? textOf(value['stack']),
  };
}

/**
 * What a worker says of a failed attempt. Where it gives no `error`, or one without a member, the report itself is looked at: some send
 * `{message}` without an object around it, some a text alone.
 */
export function asFailure(value: unknown): { error: WorkerError; retry: boolean | undefined } {
  const report = reportOf(value);
  const instead = isObject(value) ? {} : value;
  const error = textOf(report['error']) === null ? instead : report['error'];
  const members = ['name', 'message', 'stack_trace', 'stack'].filter((name) => textOf(report[name]) !== null);
  const beside = Object.fromEntries(members.map((name) => [name, report[name]]));
  const given = isObject(error) ? Object.entries(error).filter(([, member]) => textOf(member) !== null) : null;
  return {
    error: asWorkerError(given === null ? error : { ...beside, ...Object.fromEntries(given) }),
    retry: asRetry(report['retry']),
  };
}

/** Whether the worker says that trying again is of use; undefined where it does not say. */
export function asRetry(value: unknown): boolean | undefined {
  // Not String(): an object of a worker's may have members toString and valueOf that are no functions.
  const word = typeof value === 'string' ? value.trim().toLowerCase() : JSON.stringify(value);
  if (['false', '0', 'no'].includes(word)) {
    return false;
  }
  return ['true', '1', 'yes'].includes(word) ? true : undefined;
}

/** The members of a report; none where it is no object. */
export function reportOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

/** A text as it is, anything else as JSON; null for what is missing or blank. */
export function textOf(value: unknown): string | null {
  if (value === undefined || value === null) {
    return null;
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.trim() === '' ? null : text;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
