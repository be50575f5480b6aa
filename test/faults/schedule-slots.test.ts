/**
 * The short form: 2,000 schedules in four windows of two days, each around changes of clocks, with a few cut connections. The long
 * form is `npm run soak -- slots`: two years at a stretch.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { ScheduleDispatcher } from '../../src/modules/schedules/index.js';
import { startServer, type TestServer } from '../support/server.js';
import { prove } from './schedule-proof.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(async () => {
  await server.stop();
});

const SEED = Number(process.env['FAULTS_SEED'] ?? 20_270_314);
/** Of the long form; null: the short one. */
const LONG_DAYS = process.env['FAULTS_SLOT_DAYS'] === undefined ? null : Number(process.env['FAULTS_SLOT_DAYS']);

(LONG_DAYS === null ? test.skip : test)(
  `every slot has one run, none is missed and none is extra, for years${LONG_DAYS === null ? ' (skipped: npm run soak -- slots)' : ''}`,
  async () => {
    const outcome = await prove({
      server,
      seed: SEED,
      schedules: Number(process.env['FAULTS_SLOT_SCHEDULES'] ?? 500),
      from: new Date('2027-01-01T00:00:00Z'),
      days: LONG_DAYS ?? 0,
      kills: Number(process.env['FAULTS_SLOT_KILLS'] ?? 200),
      schedulers: 3,
    });
    process.stdout.write(`${JSON.stringify({ seed: SEED, ...outcome })}\n`);
    expect(outcome.wrong).toEqual([]);
  },
  24 * 3_600_000,
);

(LONG_DAYS === null ? test : test.skip).each([
  ['New York and St. John’s go forward', '2027-03-13T06:00:00Z'],
  ['London, Troll, Nuuk and Scoresbysund go forward', '2027-03-27T06:00:00Z'],
  ['Lord Howe, Chatham and Santiago change', '2027-04-03T06:00:00Z'],
  ['New York and St. John’s go back', '2027-11-06T06:00:00Z'],
])(
  'every slot has one run, none is missed and none is extra, while %s',
  async (_, from) => {
    const seed = SEED + Date.parse(from) / 86_400_000;
    const outcome = await prove({
      server,
      seed,
      schedules: 500,
      from: new Date(from),
      days: 2,
      kills: 4,
      schedulers: 3,
    });
    expect({ seed, wrong: outcome.wrong.slice(0, 20) }).toEqual({ seed, wrong: [] });
    expect(outcome.slots).toBeGreaterThan(1_000);
  },
  180_000,
);

(LONG_DAYS === null ? test : test.skip)('looking for what is due reads no more where many are not due', async () => {
  let claim: { text: string; values: unknown[] } | undefined;
  const observe = (text: string, values: readonly unknown[]): void => {
    claim ??= text.includes('s.due_at <=') && text.includes('skip locked') ? { text, values: [...values] } : undefined;
  };
  server.database.observers.add(observe);
  await server.app.get(ScheduleDispatcher).fire();
  server.database.observers.delete(observe);
  const client = new Client({ connectionString: server.databaseUrl });
  await client.connect();
  try {
    await client.query(`update schedules set next_at = '2100-01-01Z', due_at = '2100-01-01Z', is_over = false`);
    await client.query('vacuum analyze schedules');
    const many = await client.query(
      'select count(*)::int as count, pg_relation_size($1) / 8192 as pages from schedules',
      ['schedules'],
    );
    const plan = await client.query(`explain (analyze, buffers, format json) ${claim?.text}`, claim?.values);
    const { Plan: root } = plan.rows[0]['QUERY PLAN'][0];
    const read = Number(root['Shared Hit Blocks']) + Number(root['Shared Read Blocks']);
    expect(many.rows[0].count).toBeGreaterThanOrEqual(2_000);
    expect(read).toBeLessThan(Number(many.rows[0].pages) / 3);
    expect(read).toBeLessThan(25);
  } finally {
    await client.end();
  }
});
