import { afterEach, describe, expect, it } from '@jest/globals';
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from '../../src/database/sql.js';
import { Bootstrap } from '../../src/modules/auth/index.js';
import { makeKey } from '../../src/modules/auth/credentials/key-form.js';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';
import { banner } from '../../src/start/banner.js';
import { startServer, type TestServer } from '../support/server.js';

const FIRST_KEY = 'the_first_bootstrap_key_0123456789abcdef';
const SECOND_KEY = 'the-second-bootstrap-key-0123456789abcdef';
const PASSWORD = 'an operator’s long password';

const started: TestServer[] = [];
const databases: TestDatabase[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.stop()));
  await Promise.all(databases.splice(0).map((database) => database.drop()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

async function emptyInstance(): Promise<string> {
  const database = await cloneDatabase();
  databases.push(database);
  return database.url;
}

async function start(databaseUrl: string, environment: Record<string, string> = {}): Promise<TestServer> {
  const server = await startServer({ BOOTSTRAP_API_KEY: FIRST_KEY, ...environment, DATABASE_URL: databaseUrl });
  started.push(server);
  return server;
}

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-bootstrap-'));
  folders.push(folder);
  return folder;
}

const status = async (server: TestServer, as: string): Promise<number> =>
  (await server.call('GET', '/api/v1/me', { as })).status;
const bootstrapKeyId = async (server: TestServer): Promise<string> => {
  const rows = await server.database.rows<{ id: string }>(sql`select id from api_keys where is_bootstrap`);
  expect(rows).toHaveLength(1);
  return rows[0]?.id ?? '';
};

describe('the first start', () => {
  it('makes one organisation and one key, however many replicas start at once', async () => {
    const database = await emptyInstance();
    const replicas = await Promise.all([start(database), start(database), start(database)]);
    const [replica] = replicas;
    for (const replica of replicas) {
      expect((await replica.call('GET', '/api/v1/me', { as: FIRST_KEY })).body).toMatchObject({
        kind: 'api_key',
        role: 'admin',
      });
    }
    const organizations = await replica.database.rows(sql`select 1 from organizations`);
    expect(organizations).toHaveLength(1);
    expect(replicas.filter((each) => each.app.get(Bootstrap).outcome.isFirstStart)).toHaveLength(1);
    const permissions = (await replica.call('GET', '/api/v1/me', { as: FIRST_KEY })).body.permissions;
    expect(permissions).toContain('instance:operate');
  });

  it('makes a key where the operator chose none, in a file of its user, and touches the file at no other start', async () => {
    const database = await emptyInstance();
    const environment = { BOOTSTRAP_API_KEY: '', DATA_DIR: await dataFolder() };
    const file = join(environment.DATA_DIR, 'first-api-key');
    // A start that was interrupted before its commit left this, or somebody a link to a file elsewhere.
    await writeFile(`${file}.elsewhere`, 'kept');
    await symlink(`${file}.elsewhere`, file);
    const first = await start(database, environment);
    const { key } = first.app.get(Bootstrap).outcome;
    expect(first.app.get(Bootstrap).outcome).toEqual({ isFirstStart: true, key: expect.any(String), keyFile: file });
    expect(await readFile(file, 'utf8')).toBe(`${key}\n`);
    expect(await readFile(`${file}.elsewhere`, 'utf8')).toBe('kept');
    expect((await lstat(file)).mode & 0o7777).toBe(0o600);
    expect(await status(first, key ?? '')).toBe(200);
    await writeFile(file, 'a note');
    const second = await start(database, environment);
    expect(second.app.get(Bootstrap).outcome).toEqual({ isFirstStart: false, key: null, keyFile: null });
    expect(await readFile(file, 'utf8')).toBe('a note');
    expect(await status(second, key ?? '')).toBe(200);
    await rm(file);
    await start(database, environment);
    await expect(lstat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('stores no key that it could not write down, and makes one at the next start', async () => {
    const database = await emptyInstance();
    const environment = { BOOTSTRAP_API_KEY: '', DATA_DIR: await dataFolder() };
    const file = join(environment.DATA_DIR, 'first-api-key');
    await mkdir(join(file, 'in-the-way'), { recursive: true });
    await expect(start(database, environment)).rejects.toThrow(
      'make DATA_DIR writable, or choose the key with BOOTSTRAP_API_KEY',
    );
    await rm(file, { recursive: true });
    const first = await start(database, environment);
    expect(await status(first, (await readFile(file, 'utf8')).trim())).toBe(200);
  });

  it('writes no file where the operator chose the key', async () => {
    const DATA_DIR = await dataFolder();
    await start(await emptyInstance(), { DATA_DIR });
    await expect(lstat(join(DATA_DIR, 'first-api-key'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    [true, true],
    [false, false],
  ])('prints the key to a terminal (%s), and else only which file it is in', (isTerminal, isShown) => {
    const keyFile = "/data/it's here/first-api-key";
    const text = banner({ url: 'http://host', isFirstStart: true, key: 'tyk_the_key', keyFile, isTerminal });
    expect(text.includes('tyk_the_key')).toBe(isShown);
    expect(text).toContain(`in the file ${keyFile}`);
    expect(text).toContain(`export KEY=$(cat '/data/it'\\''s here/first-api-key')`);
  });

  it('makes the operator’s person, who owns and operates', async () => {
    const email = 'Operator@First.example';
    const server = await start(await emptyInstance(), {
      BOOTSTRAP_ADMIN_EMAIL: email,
      BOOTSTRAP_ADMIN_PASSWORD: PASSWORD,
    });
    const reply = await server.call('POST', '/api/v1/auth/login', {
      as: null,
      body: { email: email.toLowerCase(), password: PASSWORD },
    });
    expect(reply.status).toBe(200);
    const me = await server.call('GET', '/api/v1/me', { as: reply.body.access_token });
    expect(me.body.role).toBe('owner');
    expect(me.body.permissions).toContain('instance:operate');
  });
});

describe('a later start', () => {
  it('with the same key changes nothing', async () => {
    const database = await emptyInstance();
    const before = await bootstrapKeyId(await start(database));
    const later = await start(database);
    expect(await bootstrapKeyId(later)).toBe(before);
    expect(await status(later, FIRST_KEY)).toBe(200);
  });

  it('with another key ends the old one at once, on a running replica too, and keeps who it is', async () => {
    const database = await emptyInstance();
    const running = await start(database);
    const before = await bootstrapKeyId(running);
    expect(await status(running, FIRST_KEY)).toBe(200);
    const later = await start(database, { BOOTSTRAP_API_KEY: SECOND_KEY });
    expect(await status(running, FIRST_KEY)).toBe(401);
    expect(await status(later, FIRST_KEY)).toBe(401);
    expect(await status(later, SECOND_KEY)).toBe(200);
    running.clock.advance(1_001);
    expect(await status(running, SECOND_KEY)).toBe(200);
    expect(await bootstrapKeyId(later)).toBe(before);
  });

  it('leaves a revoked key revoked until another is set', async () => {
    const database = await emptyInstance();
    const first = await start(database);
    const id = await bootstrapKeyId(first);
    expect((await first.call('DELETE', `/api/v1/api-keys/${id}`, { as: FIRST_KEY })).status).toBe(204);
    const same = await start(database);
    expect(await status(same, FIRST_KEY)).toBe(401);
    const other = await start(database, { BOOTSTRAP_API_KEY: SECOND_KEY });
    expect(await status(other, SECOND_KEY)).toBe(200);
    expect(await status(other, FIRST_KEY)).toBe(401);
    await expect(start(database)).rejects.toThrow('another key of this instance');
  });

  it('takes a key of our own form, and refuses one with a mistake in it', async () => {
    const database = await emptyInstance();
    const { text } = makeKey('key');
    expect(await status(await start(database, { BOOTSTRAP_API_KEY: text }), text)).toBe(200);
    const last = text.endsWith('0') ? '1' : '0';
    await expect(start(database, { BOOTSTRAP_API_KEY: text.slice(0, -1) + last })).rejects.toThrow(
      'has a mistake in it',
    );
  });

  it('adds the operator’s person where absent, and never changes one', async () => {
    const database = await emptyInstance();
    const first = await start(database);
    const admin = { BOOTSTRAP_ADMIN_EMAIL: 'late@first.example', BOOTSTRAP_ADMIN_PASSWORD: PASSWORD };
    const second = await start(database, admin);
    const login = (password: string) =>
      second.call('POST', '/api/v1/auth/login', { as: null, body: { email: admin.BOOTSTRAP_ADMIN_EMAIL, password } });
    expect((await login(PASSWORD)).status).toBe(200);
    await start(database, { ...admin, BOOTSTRAP_ADMIN_PASSWORD: 'quite another password' });
    expect((await login(PASSWORD)).status).toBe(200);
    expect((await login('quite another password')).status).toBe(401);
    expect((await first.call('GET', '/api/v1/users', { as: FIRST_KEY })).body.data).toHaveLength(1);
  });
});
