import { z } from 'zod';
import { listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { idQuery } from '../../http/openapi/schemas.js';

const BUDGET_KINDS = ['organization', 'agent', 'api_key', 'task', 'schedule', 'run'] as const;
export type BudgetKind = (typeof BUDGET_KINDS)[number];
const PERIODS = ['day', 'month', 'total'] as const;
const ACTIONS = ['refuse', 'stop'] as const;

/** What a name in a scope stands for; the other kinds name nothing. */
const WITH_ID: readonly BudgetKind[] = ['agent', 'api_key', 'task', 'schedule'];

const name = z.string().trim().min(1).max(200);
const cents = z.number().min(0).max(1_000_000_000_000).describe('In cents; fractions count. 0 lets nothing start.');
const runs = z.int().min(0).max(1_000_000_000).describe('Runs made in a period. 0 lets nothing start.');
const action = z
  .enum(ACTIONS)
  .describe('`refuse`: no new run once it is used up. `stop`: besides, a run whose cost goes over it is ended.');

const scope = z
  .strictObject({
    kind: z.enum(BUDGET_KINDS),
    id: idQuery.optional().describe('Of the agent, API key, task or schedule; not with `organization` and `run`.'),
  })
  .superRefine((value, context) => {
    const named = WITH_ID.includes(value.kind);
    if (named !== (value.id !== undefined)) {
      const message = named
        ? `must be given: it says which ${value.kind}`
        : `must be left out: ${value.kind} needs none`;
      context.addIssue({ code: 'custom', path: ['id'], message });
    }
  })
  .describe('What the budget is for. `run` holds every run by itself.')
  .meta({ id: 'BudgetScope' });

export const newBudgetSchema = z
  .strictObject({
    name,
    scope,
    period: z
      .enum(PERIODS)
      .optional()
      .describe('Days and months are UTC’s. `month` where absent; `total`, which never ends, for the scope `run`.'),
    limit_cents: cents.nullable().optional(),
    limit_runs: runs.nullable().optional(),
    action: action.optional().describe('`refuse` where absent; `stop` for the scope `run`.'),
    enabled: z.boolean().default(true).describe('One that is not enabled goes on counting, and holds nobody.'),
  })
  .superRefine((value, context) => {
    const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if ((value.limit_cents ?? null) === null && (value.limit_runs ?? null) === null) {
      refuse('limit_cents', 'must be given, or limit_runs: a budget has a limit');
    }
    if (value.scope.kind === 'run') {
      if ((value.limit_runs ?? null) !== null) refuse('limit_runs', 'must be left out: a run is one run');
      if ((value.period ?? 'total') !== 'total') refuse('period', 'must be total: a run has no periods');
      if ((value.action ?? 'stop') !== 'stop') refuse('action', 'must be stop: a run costs nothing before it starts');
    }
  })
  .meta({ id: 'NewBudget' });
export type NewBudgetInput = z.output<typeof newBudgetSchema>;

export const budgetPatchSchema = z
  .strictObject({
    name: name.optional(),
    limit_cents: cents.nullable().optional(),
    limit_runs: runs.nullable().optional(),
    action: action.optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: 'BudgetPatch' });
export type BudgetPatch = z.output<typeof budgetPatchSchema>;

const standingSchema = z
  .object({
    spent_cents: z.number().nullable().describe('Null for the scope `run`: each run has its own `cost_in_cents`.'),
    spent_runs: z.int().nullable(),
    period_start: z.iso.datetime(),
    period_end: z.iso.datetime().nullable().describe('Null where the period is `total`.'),
    exceeded: z.boolean().describe('Nothing is left: while it is enabled, a new run is refused.'),
  })
  .describe('How the budget stands now, runs under way included.')
  .meta({ id: 'BudgetStanding' });

export const budgetSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    scope: z.object({ kind: z.enum(BUDGET_KINDS), id: z.uuid().nullable() }),
    period: z.enum(PERIODS),
    limit_cents: z.number().nullable(),
    limit_runs: z.int().nullable(),
    action: z.enum(ACTIONS),
    enabled: z.boolean(),
    standing: standingSchema,
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'Budget' });
export type BudgetView = z.output<typeof budgetSchema>;

export const budgetListQuery = listQuery.extend({ kind: z.enum(BUDGET_KINDS).optional() });
export type BudgetListQuery = z.output<typeof budgetListQuery>;
export const budgetPage = pageSchema(budgetSchema, 'BudgetPage');

export const BUDGET_EXAMPLE: BudgetView = {
  id: '019a2f60-7c1e-7d2a-9a1f-2f8f6b6f0b01',
  name: 'Summaries in January',
  scope: { kind: 'agent', id: '0198c0de-0000-7000-8000-000000000010' },
  period: 'month',
  limit_cents: 5000,
  limit_runs: null,
  action: 'stop',
  enabled: true,
  standing: {
    spent_cents: 1250.5,
    spent_runs: 42,
    period_start: '2026-01-01T00:00:00.000Z',
    period_end: '2026-02-01T00:00:00.000Z',
    exceeded: false,
  },
  created_at: '2026-01-01T09:00:00.000Z',
  updated_at: '2026-01-01T09:00:00.000Z',
};
