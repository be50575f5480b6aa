import { z } from 'zod';

const rows = (standard: number, what: string) =>
  z.coerce.number().int().min(0).max(1_000_000_000).default(standard).describe(`${what}; 0: no limit.`);

/** How much of each kind an organization may have at once. */
export const rowLimitVariables = {
  MAX_TASKS_PER_ORGANIZATION: rows(10_000_000, 'Most tasks that an organization has'),
  MAX_OPEN_RUNS_PER_ORGANIZATION: rows(
    1_000_000,
    'Most runs of an organization that have not ended: queued, delayed, running and waiting',
  ),
  MAX_SCHEDULES_PER_ORGANIZATION: rows(100_000, 'Most schedules that an organization has'),
  MAX_ASSETS_PER_ORGANIZATION: rows(10_000_000, 'Most files that an organization has, unfinished uploads included'),
  MAX_AGENTS_PER_ORGANIZATION: rows(1_000, 'Most agents that an organization has'),
  MAX_USERS_PER_ORGANIZATION: rows(10_000, 'Most users that an organization has'),
  MAX_TEAMS_PER_ORGANIZATION: rows(10_000, 'Most teams that an organization has'),
  MAX_PROJECTS_PER_ORGANIZATION: rows(10_000, 'Most projects that an organization has'),
  MAX_ACCOUNTS_PER_ORGANIZATION: rows(100_000, 'Most accounts that an organization has, one for each user included'),
  MAX_API_KEYS_PER_ORGANIZATION: rows(10_000, 'Most API keys that an organization has, revoked ones excluded'),
  MAX_SECRETS_PER_ORGANIZATION: rows(1_000, 'Most secrets that an organization has'),
  MAX_WEBHOOKS_PER_ORGANIZATION: rows(50, 'Most webhooks that an organization has'),
  MAX_BUDGETS_PER_ORGANIZATION: rows(100, 'Most budgets that an organization has'),
  MAX_BULK_OPERATIONS_PER_ORGANIZATION: rows(20, 'Most bulk operations of an organization that have not ended'),
};

export type RowLimitVariable = keyof typeof rowLimitVariables;
