import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { LoginThrottleRepository } from '../../src/modules/auth/sessions/login-throttle.repository.js';
import { SignInQuery } from '../../src/modules/auth/sessions/sign-in.query.js';
import { SignInQueue } from '../../src/modules/auth/sessions/sign-in-queue.js';
import { PASSWORD, person, type Person } from '../support/actors.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';

const HOME = '203.0.113.10';
const ELSEWHERE = '198.51.100.20';

let server: TestServer;

beforeAll(async () => {
  // The proxy is this test, which says from where each request comes.
  server = await startServer({ TRUST_PROXY: '127.0.0.1' });
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  await server.database.execute(sql`delete from login_throttles`);
});

let people = 0;
const newPerson = async (role = 'member'): Promise<Person> => person(server, `person-${(people += 1)}`, role);
const login = (from: string, email: string, password = PASSWORD, organization?: string): Promise<Reply> =>
  server.call('POST', '/api/v1/auth/login', {
    as: null,
    body: { email, password, ...(organization === undefined ? {} : { organization }) },
    headers: { 'x-forwarded-for': from },
  });
const times = <Result>(count: number, each: (index: number) => Promise<Result>): Promise<Result[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => each(index)));
const statuses = (replies: readonly Reply[]): number[] => [...new Set(replies.map((reply) => reply.status))].sort();
const rows = async (): Promise<number> =>
  (await server.database.row<{ count: number }>(sql`select count(*)::integer as count from login_throttles`))?.count ??
  0;

describe('a stranger who guesses a password', () => {
  it('is blocked for the account, and keeps nobody from it elsewhere', async () => {
    const owner = await newPerson('member');
    await times(14, () => login(ELSEWHERE, owner.email, 'a wrong password'));
    const blocked = await login(ELSEWHERE, owner.email);
    expect(blocked.status).toBe(429);
    expect(Number(blocked.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await login(HOME, owner.email)).status).toBe(200);
  });

  it('has ten guesses, also where sixty are sent at once', async () => {
    const owner = await newPerson();
    const replies = await times(60, () => login(ELSEWHERE, owner.email, 'a wrong password'));
    expect(replies.filter(({ status }) => status === 401)).toHaveLength(10);
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(50);
  });

  it('has one attempt from each address that the account does not know, once it was guessed from many', async () => {
    const owner = await newPerson();
    expect((await login(HOME, owner.email)).status).toBe(200);
    await login(ELSEWHERE, owner.email, 'a wrong password');
    await server.database.execute(sql`update login_throttles set failures = 50 where account is null and failures > 0`);
    expect((await login('198.51.100.21', owner.email, 'a wrong password')).status).toBe(401);
    expect((await login('198.51.100.21', owner.email)).status).toBe(429);
    expect((await login(HOME, owner.email, 'a typo')).status).toBe(401);
    expect((await login(HOME, owner.email)).status).toBe(200);
    expect((await login('192.0.2.30', owner.email)).status).toBe(200);
  });

  it('has nothing counted from an address that is blocked, and locks nobody out who signed in from there before', async () => {
    const [owner, colleague] = [await newPerson(), await newPerson()];
    expect((await login(ELSEWHERE, colleague.email)).status).toBe(200);
    await login(ELSEWHERE, 'nobody@first.example', 'wrong');
    await server.database.execute(sql`update login_throttles set failures = 99 where account is null and failures > 0`);
    await login(ELSEWHERE, 'somebody@first.example', 'wrong');
    const before = await rows();
    const audited = sql`select count(*)::integer as count from audit_events`;
    const told = await server.database.row(audited);
    const replies = await times(40, (index) => login(ELSEWHERE, `nobody-${index}@first.example`, 'wrong'));
    replies.push(...(await times(20, () => login(ELSEWHERE, owner.email, 'wrong'))));
    expect(statuses(replies)).toEqual([429]);
    expect(await rows()).toBe(before);
    expect(await server.database.row(audited)).toEqual(told);
    expect((await login(HOME, owner.email)).status).toBe(200);
    expect((await login(ELSEWHERE, colleague.email)).status).toBe(200);
  });

  it('keeps nobody who is signed in from changing their password, at the same address either', async () => {
    const owner = await newPerson('admin');
    await times(14, () => login(HOME, owner.email, 'a wrong password'));
    expect((await login(HOME, owner.email)).status).toBe(429);
    const change = (current: string): Promise<Reply> =>
      server.call('POST', '/api/v1/me/password', {
        as: owner.token,
        body: { current, new: 'an entirely new password' },
        headers: { 'x-forwarded-for': HOME },
      });
    expect((await change('not the password')).status).toBe(400);
    expect((await change(PASSWORD)).status).toBe(204);
  });

  it('with a stolen session has ten guesses at its password', async () => {
    const owner = await newPerson();
    const change = (): Promise<Reply> =>
      server.call('POST', '/api/v1/me/password', {
        as: owner.token,
        body: { current: 'a guess', new: 'an entirely new password' },
        headers: { 'x-forwarded-for': ELSEWHERE },
      });
    expect(statuses(await times(10, change))).toEqual([400]);
    expect((await change()).status).toBe(429);
  });
});

describe('sign-ins at once', () => {
  it('are all served, and so is everybody else, without a deadlock', async () => {
    const someone = [await newPerson(), await newPerson(), await newPerson(), await newPerson()];
    const deadlocks = sql`select deadlocks::integer as deadlocks from pg_stat_database where datname = current_database()`;
    const before = await server.database.row(deadlocks);
    const signIns = { areOver: false };
    const replies = times(24, (index) => login(HOME, someone[index % someone.length]?.email ?? '')).finally(() => {
      signIns.areOver = true;
    });
    const bystanders: number[] = [];
    while (!signIns.areOver) {
      bystanders.push((await server.call('GET', '/api/v1/tasks')).status);
    }
    expect(statuses(await replies)).toEqual([200]);
    expect([...new Set(bystanders)]).toEqual([200]);
    await server.database.row(sql`select pg_stat_clear_snapshot()`);
    expect(await server.database.row(deadlocks)).toEqual(before);
  }, 120_000);

  it('wrong and right, of few accounts and addresses, wait for no lock in a circle', async () => {
    const throttle = server.app.get(LoginThrottleRepository, { strict: false });
    const subject = (name: string): Buffer => Buffer.from(name.padEnd(32, '.'));
    const subjects = (index: number) => ({
      pair: subject(`pair ${index % 3} ${index % 2}`),
      account: subject(`account ${index % 3}`),
      address: subject(`address ${index % 2}`),
      maxFailures: 10,
    });
    // As many at once as have a connection each.
    const indexes = Array.from({ length: 300 }, (_, index) => index).values();
    await times(4, async () => {
      for (const index of indexes) {
        await throttle.count([{ subjects: subjects(index), isRight: index % 4 === 0 }]);
      }
    });
    const [counted] = await server.database.rows<{ failures: number }>(sql`
      select sum(failures)::integer as failures from login_throttles where account is null`);
    // Each of 225 failures once by its account and once by its address.
    expect(counted?.failures).toBe(450);
  });

  it('take turns by address, and too many of one address are refused by themselves', async () => {
    const turns = new SignInQueue();
    const order: string[] = [];
    const ends: (() => void)[] = [];
    const under = (address: string): Promise<void> =>
      turns.take(address, () => {
        order.push(address);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    const flood = Array.from({ length: 254 }, () => under('flood'));
    await expect(under('flood')).rejects.toMatchObject({ code: 'rate-limited' });
    const calm = [under('calm'), under('calm')];
    for (let ended = 0; ended < 256; ended += 1) {
      while (ends.length <= ended) {
        await Promise.resolve();
      }
      ends[ended]?.();
    }
    await Promise.all([...flood, ...calm]);
    expect(order.slice(0, 8)).toEqual(['flood', 'flood', 'flood', 'flood', 'flood', 'calm', 'flood', 'calm']);
  });
});

describe('the table of counts', () => {
  it('is cleared of what is over, and cut where it grows too large, with known addresses last', async () => {
    const throttle = server.app.get(LoginThrottleRepository, { strict: false });
    await server.database.execute(sql`
      insert into login_throttles (subject, failures, window_started_at, succeeded_at)
      select sha256(convert_to(kind || n, 'UTF8')), 1, clock_timestamp() - age, case when known then clock_timestamp() - age end
      from (values ('old', interval '2 hours', false), ('new', interval '1 minute', false), ('known', interval '2 days', true),
        ('forgotten', interval '31 days', true)) kinds (kind, age, known), generate_series(1, 100) n`);
    expect(await throttle.sweep()).toBe(false);
    expect(await rows()).toBe(200);
    await throttle.sweep(130);
    const left = await server.database.row<{ known: number; all: number }>(sql`
      select count(*)::integer as all, count(succeeded_at)::integer as known from login_throttles`);
    expect(left).toEqual({ all: 130, known: 100 });
  });
});

describe('an e-mail address in several organizations', () => {
  const shared = 'vera@shared.example';
  const otherPassword = 'quite another pass phrase';
  let otherOwner: Reply;

  beforeAll(async () => {
    const made = await server.call('POST', '/api/v1/organizations', {
      body: { name: 'Other', slug: 'other', owner: { email: 'owner@other.example', password: PASSWORD } },
    });
    expect(made.status).toBe(201);
    otherOwner = await login(HOME, 'owner@other.example');
    const body = { email: shared, display_name: 'Vera', role: 'member', password: PASSWORD };
    expect((await server.call('POST', '/api/v1/users', { body })).status).toBe(201);
  });

  it('is told to none of them, and taken from none', async () => {
    const body = { email: shared.toUpperCase(), display_name: 'Vera', role: 'member', password: otherPassword };
    const as: string = otherOwner.body.access_token;
    expect((await server.call('POST', '/api/v1/users', { as, body })).status).toBe(201);
    expect((await server.call('POST', '/api/v1/users', { as, body })).status).toBe(409);
    expect((await login(HOME, shared)).status).toBe(200);
    const organizationOf = async (reply: Reply): Promise<string> =>
      (await server.call('GET', '/api/v1/me', { as: reply.body.access_token })).body.organization.slug;
    expect(await organizationOf(await login(HOME, shared))).toBe('main');
    expect(await organizationOf(await login(HOME, shared, otherPassword))).toBe('other');
    expect((await login(HOME, shared, otherPassword, 'main')).status).toBe(401);
    expect((await login(HOME, shared, PASSWORD, 'nowhere')).status).toBe(401);
  });

  it('with one password in both is asked which organization, once the password was right', async () => {
    const as: string = otherOwner.body.access_token;
    const email = 'twice@shared.example';
    const body = { email, display_name: 'Twice', role: 'member', password: PASSWORD };
    expect((await server.call('POST', '/api/v1/users', { body })).status).toBe(201);
    expect((await server.call('POST', '/api/v1/users', { as, body })).status).toBe(201);
    const several = await login(HOME, email);
    expect([several.status, several.body.code]).toEqual([409, 'conflict']);
    expect(several.body.detail).toContain('main, other');
    expect((await login(HOME, email, 'wrong')).status).toBe(401);
    for (const slug of ['main', 'other']) {
      const { body: tokens } = await login(HOME, email, PASSWORD, slug);
      const me = await server.call('GET', '/api/v1/me', { as: tokens.access_token });
      expect(me.body.organization.slug).toBe(slug);
      expect((await login(HOME, email, PASSWORD, me.body.organization.id)).status).toBe(200);
    }
  });

  it('costs the same work as one that nobody has', async () => {
    const query = server.app.get(SignInQuery, { strict: false });
    for (const organization of [null, 'main']) {
      const found = await Promise.all(
        [shared, 'owner@other.example', 'nobody@first.example'].map((email) => query.findAccounts(email, organization)),
      );
      expect(new Set(found.map(({ checks }) => checks)).size).toBe(1);
      expect(found.every(({ accounts, checks }) => accounts.length <= checks)).toBe(true);
    }
  });
});
