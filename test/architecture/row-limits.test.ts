import { expect, test } from '@jest/globals';
import { sources } from './sources.js';

/** What inserts rows of a limited kind: the statement or the entity, and the kind. */
const INSERTS: readonly [inserts: RegExp, kind: string][] = [
  [/insert into tasks\b/, 'tasks'],
  [/insert into runs\b/, 'openRuns'],
  [/insert into schedules\b/, 'schedules'],
  [/insert into assets\b/, 'assets'],
  [/insert into agents\b/, 'agents'],
  [/insert\(UserEntity\b/, 'users'],
  [/insert\(TeamEntity\b/, 'teams'],
  [/insert\(ProjectEntity\b/, 'projects'],
  [/insert\(AccountEntity\b/, 'accounts'],
  [/insert\(ApiKeyEntity\b/, 'apiKeys'],
  [/insert into secrets\b/, 'secrets'],
  [/insert\(WebhookEndpointEntity\b/, 'webhooks'],
  [/insert\(BudgetEntity\b/, 'budgets'],
  [/insert into bulk_operations\b/, 'bulkOperations'],
];

/** Of several organizations at once: the service beside it asks for each of them. */
const ASKED_BY: Readonly<Record<string, string>> = {
  'src/modules/runs/scheduled/scheduled-runs.repository.ts': 'src/modules/runs/scheduled/scheduled-runs.service.ts',
};

test('whatever inserts rows of a limited kind asks for room first', () => {
  const files = sources('src');
  const asking = (path: string, kind: string): boolean =>
    files.some((file) => file.path === path && file.text.includes(`assertRoom(scope, tx, '${kind}'`));
  const found = INSERTS.flatMap(([inserts, kind]) => {
    const inserting = files.filter(({ text }) => inserts.test(text));
    expect([kind, inserting.length]).not.toEqual([kind, 0]);
    return inserting.filter(({ path }) => !asking(ASKED_BY[path] ?? path, kind)).map(({ path }) => `${path}: ${kind}`);
  });
  expect(found).toEqual([]);
});
