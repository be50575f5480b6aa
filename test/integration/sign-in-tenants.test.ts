import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { DomainError } from '../../src/kernel/errors.js';
import { throttledAddress } from '../../src/kernel/client-address.js';
import { KeyDigests } from '../../src/modules/auth/credentials/key-digests.js';
import { LoginThrottleRepository } from '../../src/modules/auth/sessions/login-throttle.repository.js';
import { SignInQueue } from '../../src/modules/auth/sessions/sign-in-queue.js';
import { PASSWORD } from '../support/actors.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';

const HOME = '203.0.113.10';
const ELSEWHERE = '198.51.100.20';
const OTHER_PASSWORD = 'quite another pass phrase';
const VICTIM = 'victim@shared.example';

let server: TestServer;

const login = (from: string, email: string, password: string, organization?: string): Promise<Reply> =>
  server.call('POST', '/api/v1/auth/login', {
    as: null,
    body: { email, password, ...(organization === undefined ? {} : { organization }) },
    headers: { 'x-forwarded-for': from },
  });

async function addUser(as: string | undefined, email: string, password: string): Promise<void> {
  const body = { email, display_name: 'Vera', role: 'member', password };
  const made = await server.call('POST', '/api/v1/users', { body, ...(as === undefined ? {} : { as }) });
  expect(made.status).toBe(201);
}

/** The owner of another organization gives it users with the e-mails of the first. */
beforeAll(async () => {
  server = await startServer({ TRUST_PROXY: '127.0.0.1', ROLE: 'api' });
  const owner = { email: 'owner@other.example', password: PASSWORD };
  await server.call('POST', '/api/v1/organizations', { body: { name: 'Other', slug: 'other', owner } });
  const as: string = (await login(HOME, owner.email, owner.password)).body.access_token;
  await addUser(undefined, VICTIM, PASSWORD);
  await addUser(as, VICTIM, OTHER_PASSWORD);
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.database.execute(sql`delete from login_throttles`);
});

/** As if each of the present counts of failures had come as far as this. */
const bringCountsTo = (failures: number): Promise<number> =>
  server.database.execute(
    sql`update login_throttles set failures = ${failures} where account is not null and failures > 0`,
  );

test('signing in to one organization does not reset how often the same e-mail failed in another', async () => {
  await login(ELSEWHERE, VICTIM, 'a wrong password');
  expect((await login(ELSEWHERE, VICTIM, OTHER_PASSWORD)).status).toBe(200);
  await bringCountsTo(29);
  await login(ELSEWHERE, VICTIM, 'a wrong password');
  expect((await login(ELSEWHERE, VICTIM, OTHER_PASSWORD, 'other')).status).toBe(200);
  const guessed = await login(ELSEWHERE, VICTIM, PASSWORD);
  expect([guessed.status, guessed.body.code]).toEqual([401, 'invalid-credentials']);
  expect((await login(ELSEWHERE, VICTIM, PASSWORD, 'main')).status).toBe(401);
  expect((await login(HOME, VICTIM, PASSWORD)).status).toBe(200);
});

test('a password that is right in one organization counts as a wrong guess in the other', async () => {
  expect((await login(ELSEWHERE, VICTIM, OTHER_PASSWORD)).status).toBe(200);
  expect(await bringCountsTo(29)).toBe(1);
  expect((await login(ELSEWHERE, VICTIM, OTHER_PASSWORD)).status).toBe(200);
  // The guess in question, made the password of a user of one's own.
  await server.database
    .execute(sql`update users set password_hash = (select u.password_hash from users u join organizations o
    on o.id = u.organization_id where u.email = ${VICTIM} and o.slug = 'main') where email = ${VICTIM}`);
  expect((await login(ELSEWHERE, VICTIM, PASSWORD)).status).toBe(200);
  expect((await login(HOME, VICTIM, PASSWORD)).status).toBe(409);
});

test('spellings that the database takes for one e-mail do not multiply the guesses', async () => {
  const email = 'single@shared.example';
  await addUser(undefined, email, PASSWORD);
  // U+0130 has a lower case of two characters in JavaScript, and of one in the database.
  const spelled = 'sİngle@shared.example';
  await login(ELSEWHERE, spelled, 'a wrong password');
  await login(ELSEWHERE, email, 'a wrong password');
  const counts = sql`select failures from login_throttles where account is not null order by failures`;
  const kept = (await server.database.rows<{ failures: number }>(counts)).map(({ failures }) => failures);
  // One for each spelling, and both for the user.
  expect(kept).toEqual([1, 1, 2]);
});

test('a password that the operator resets can be used at once, whatever failed before', async () => {
  const email = 'reset@shared.example';
  await addUser(undefined, email, PASSWORD);
  await login(ELSEWHERE, email, 'a wrong password');
  await server.database
    .execute(sql`update login_throttles set failures = 90, blocked_until = clock_timestamp() + interval '1 hour'
    where account is not null`);
  expect((await login(ELSEWHERE, email, PASSWORD)).status).toBe(429);
  const digests = server.app.get(KeyDigests, { strict: false });
  const user = await server.database.row<{
    organization_id: string;
    id: string;
  }>(sql`select u.organization_id, u.id from users u
    join organizations o on o.id = u.organization_id where u.email = ${email}`);
  const throttle = server.app.get(LoginThrottleRepository, { strict: false });
  await throttle.forget([
    digests.subject('account', email),
    digests.subject('user', user?.organization_id ?? '', user?.id ?? ''),
  ]);
  expect((await login(ELSEWHERE, email, PASSWORD)).status).toBe(200);
});

test('the sweep passes over what a sign-in is counting, so that neither waits for the other', async () => {
  const throttle = server.app.get(LoginThrottleRepository, { strict: false });
  await server.database.execute(sql`insert into login_throttles (subject, failures, window_started_at)
    select sha256(convert_to(n::text, 'UTF8')), 1, clock_timestamp() - interval '2 hours' from generate_series(1, 3) n`);
  const client = new Client({ connectionString: server.databaseUrl });
  await client.connect();
  await client.query('begin');
  await client.query(`update login_throttles set failures = 2 where subject = sha256(convert_to('2', 'UTF8'))`);
  expect(await throttle.sweep()).toBe(false);
  await client.query('commit');
  await client.end();
  expect(await server.database.rows(sql`select failures from login_throttles`)).toEqual([{ failures: 2 }]);
});

test('few addresses with many sign-ins do not keep out others, and nobody is made to wait by those who have as few', async () => {
  const turns = new SignInQueue();
  const never = (address: string): Promise<void> => turns.take(address, () => new Promise<void>(() => undefined));
  const outcomes: string[] = [];
  for (let index = 0; index < 1_004; index += 1) {
    never(`flood ${index % 5}`).catch((error: unknown) =>
      outcomes.push(error instanceof DomainError ? error.code : 'error'),
    );
  }
  for (let index = 0; index < 3; index += 1) {
    never('calm').catch(() => outcomes.push('calm'));
  }
  await Promise.resolve();
  await Promise.resolve();
  expect(outcomes).toEqual(['unavailable', 'unavailable', 'unavailable']);
  const crowd = new SignInQueue();
  const one = (address: string): Promise<void> => crowd.take(address, () => new Promise<void>(() => undefined));
  for (let index = 0; index < 1_004; index += 1) {
    one(`address ${index}`).catch(() => outcomes.push('crowd'));
  }
  await expect(one('latecomer')).rejects.toMatchObject({ code: 'unavailable' });
  expect(outcomes).toHaveLength(3);
});

test.each([
  ['198.51.100.7:4711', '198.51.100.7'],
  ['[2001:db8:1:2::7]:4711', '2001:db8:1:2'],
  ['[2001:db8:1:2::7]', '2001:db8:1:2'],
])('%s, as some proxies forward it, counts as %s', (forwarded, counted) => {
  expect(throttledAddress(forwarded)).toBe(counted);
});
