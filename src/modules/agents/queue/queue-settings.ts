/** How an agent's runs are tried again, and how many may run at a time. */
import { z } from 'zod';
import { invalid } from '../../../kernel/errors.js';

export const STRATEGIES = ['queue', 'cancel_oldest', 'drop_newest'] as const;
export type ConcurrencyStrategy = (typeof STRATEGIES)[number];

export const RETRY_DEFAULTS = { min_seconds: 1, max_seconds: 3600, factor: 2, jitter: true };
export const QUEUE_DEFAULTS = {
  concurrency_limit: null,
  concurrency_key_limit: 1,
  concurrency_strategy: 'queue' as const,
};

const RANGES = {
  min_seconds: 'must be whole seconds from 0 to 86400',
  max_seconds: 'must be whole seconds from 0 to 604800',
  factor: 'must be a number from 1 to 10',
  limit: 'must be a whole number from 1 to 10000, or null for the default',
};

export const retrySchema = z
  .object({ min_seconds: z.int(), max_seconds: z.int(), factor: z.number(), jitter: z.boolean() })
  .meta({
    id: 'RetryPolicy',
    description:
      'The wait after a failed attempt: from `min_seconds` to `min_seconds × factor ^ attempt`, at most `max_seconds`, drawn evenly; without jitter `min_seconds × factor ^ (attempt - 1)`.',
  });
export type RetryPolicy = z.output<typeof retrySchema>;

/** A retry policy as a body gives it: what is left out stays as it is, and null is the default. */
const retryInput = z
  .strictObject({
    min_seconds: bounded(0, 86_400, RANGES.min_seconds),
    max_seconds: bounded(0, 604_800, RANGES.max_seconds),
    factor: z
      .number({ error: RANGES.factor })
      .min(1, RANGES.factor)
      .max(10, RANGES.factor)
      .meta({ minimum: 1, maximum: 10 })
      .nullable()
      .optional(),
    jitter: z.boolean().nullable().optional(),
  })
  .meta({ id: 'RetryPolicyInput' });
export type RetryInput = z.output<typeof retryInput>;

/** What can be said of it whenever. Null stands for the default. */
export const queueFields = {
  retry: retryInput.nullable().optional(),
  concurrency_limit: bounded(1, 10_000, RANGES.limit).describe('Runs of the agent at a time; null is any number.'),
  concurrency_key_limit: bounded(1, 10_000, RANGES.limit).describe(
    'Runs at a time of those with the same `concurrency_key`.',
  ),
  concurrency_strategy: z
    .enum(STRATEGIES)
    .nullable()
    .optional()
    .describe(
      'What a new run does where its concurrency key is full: `queue` in the line of the key, `cancel_oldest` in its favour, or `drop_newest`, which refuses it.',
    ),
};

/** @throws DomainError `invalid-request` where the least is more than the most */
export function retryPolicy(before: RetryPolicy, input: RetryInput | null): RetryPolicy {
  if (input === null) {
    return RETRY_DEFAULTS;
  }
  const policy = {
    min_seconds: chosen(input.min_seconds, before.min_seconds, RETRY_DEFAULTS.min_seconds),
    max_seconds: chosen(input.max_seconds, before.max_seconds, RETRY_DEFAULTS.max_seconds),
    factor: chosen(input.factor, before.factor, RETRY_DEFAULTS.factor),
    jitter: chosen(input.jitter, before.jitter, RETRY_DEFAULTS.jitter),
  };
  if (policy.min_seconds > policy.max_seconds) {
    throw invalid('/retry/max_seconds', `must be at least min_seconds, which is ${policy.min_seconds}`);
  }
  return policy;
}

function chosen<Value>(given: Value | null | undefined, before: Value, standard: Value): Value {
  if (given === undefined) {
    return before;
  }
  return given === null ? standard : given;
}

function bounded(least: number, most: number, range: string) {
  return z
    .int({ error: range })
    .min(least, range)
    .max(most, range)
    .nullable()
    .optional()
    .meta({ minimum: least, maximum: most });
}
