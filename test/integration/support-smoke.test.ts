import { expect, test } from '@jest/globals';
import { Client } from 'pg';
import { cloneDatabase } from '../support/databases.js';

test('a cloned database has every table of the migrations', async () => {
  const database = await cloneDatabase();
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const { rows } = await client.query<{ count: string }>(`select count(*) from pg_tables where schemaname = 'public'`);
  expect(Number(rows[0]?.count)).toBeGreaterThan(20);
  await client.end();
  await database.drop();
});
