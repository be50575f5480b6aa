import { z } from 'zod';
import { BUDGET_EXAMPLE, budgetSchema } from './budgets.schema.js';

/** Longest time one answer is about. */
export const MAX_DAYS = 366;
/** Groups of an answer, but for days, of which all are given. */
export const MAX_GROUPS = 100;
const DAY = z.iso.date({ error: 'must be a day, such as 2026-01-31' });

const USAGE_GROUPS = ['day', 'agent', 'api_key', 'task'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

export const usageQuery = z.strictObject({
  from: DAY.optional().describe('The first day, of UTC; thirty days before `to` where absent.'),
  to: DAY.optional().describe(
    `The first day that is left out; tomorrow where absent. At most ${MAX_DAYS} days after \`from\`.`,
  ),
  group_by: z.enum(USAGE_GROUPS).default('day'),
});
export type UsageQueryInput = z.output<typeof usageQuery>;

const amounts = {
  runs: z.int(),
  cost_in_cents: z.number(),
  input_tokens: z.int(),
  output_tokens: z.int(),
};

export const usageSchema = z
  .object({
    from: z.iso.date(),
    to: z.iso.date(),
    group_by: z.enum(USAGE_GROUPS),
    totals: z.object(amounts),
    groups: z
      .array(
        z.object({
          key: z
            .string()
            .nullable()
            .describe('The day, or the id; null for runs without one: of no key, of tasks that are gone.'),
          name: z.string().nullable(),
          ...amounts,
        }),
      )
      .describe(`Days in their order; others by cost, at most ${MAX_GROUPS}.`),
    more: z.boolean().describe('True where there are more groups than are given.'),
    budgets: z.array(budgetSchema).describe('How the budgets stand now; empty for who may not see them.'),
  })
  .meta({ id: 'Usage' });
export type Usage = z.output<typeof usageSchema>;
/** What the database answers; the days and the budgets are added. */
export type CountedUsage = Pick<Usage, 'totals' | 'groups' | 'more'>;

const AMOUNTS_EXAMPLE = { runs: 42, cost_in_cents: 1250.5, input_tokens: 310_000, output_tokens: 20_500 };
export const USAGE_EXAMPLE: Usage = {
  from: '2026-01-01',
  to: '2026-01-31',
  group_by: 'agent',
  totals: AMOUNTS_EXAMPLE,
  groups: [{ key: '0198c0de-0000-7000-8000-000000000010', name: 'Summarise', ...AMOUNTS_EXAMPLE }],
  more: false,
  budgets: [BUDGET_EXAMPLE],
};
