import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { databaseUrl, TEMPLATE_NAME } from './template-database.js';

export interface TestDatabase {
  url: string;
  drop: () => Promise<void>;
}

/** A database of one's own, cloned from the migrated template (or empty), gone after `drop`. */
export async function cloneDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const server = process.env['TEST_POSTGRES_URL'];
  if (server === undefined) {
    throw new Error('run the tests through Jest: its global setup starts the database');
  }
  const name = `test_${randomBytes(8).toString('hex')}`;
  await onServer(server, `create database ${name} template ${options.empty === true ? 'template0' : TEMPLATE_NAME}`);
  return {
    url: databaseUrl(server, name),
    drop: () => onServer(server, `drop database if exists ${name} with (force)`),
  };
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    // Cloning is refused while another clone of the same template begins.
    for (let attempt = 1; ; attempt += 1) {
      try {
        await client.query(statement);
        return;
      } catch (error) {
        if (attempt >= 50 || !(error instanceof Error && 'code' in error && error.code === '55006')) {
          throw error;
        }
        await client.query('select pg_sleep(0.05)');
      }
    }
  } finally {
    await client.end();
  }
}
