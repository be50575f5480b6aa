import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { AutoAnalyze } from '../../src/database/auto-analyze.js';
import { sql } from '../../src/database/sql.js';
import { startServer, type TestServer } from '../support/server.js';
import { seedRun } from '../support/seeds.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(async () => {
  await server.stop();
});

/** Asks until it is so; the test's own time limit ends what never comes. */
async function until(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a table that has grown is analyzed at once, so that a run is looked up by its key and not among all of its organisation', async () => {
  for (let count = 0; count < 40; count += 1) {
    await seedRun(server);
  }
  const young = server.app.get(AutoAnalyze);
  await until(async () => {
    expect(await young.look()).toBe(true);
    const known = await server.database.row<{ rows: number }>(
      sql`select reltuples::int as rows from pg_class where oid = 'runs'::regclass`,
    );
    return (known?.rows ?? 0) >= 20;
  });
  const client = new Client({ connectionString: server.databaseUrl });
  await client.connect();
  // What matters is which index it would take: forty rows are read faster without one.
  await client.query('set enable_seqscan = off');
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(
    'explain (generic_plan) select 1 from runs where organization_id = $1 and id = $2',
  );
  await client.end();
  expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toMatch(/Index.* using runs_pkey/);
});
