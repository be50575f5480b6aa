import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../src/config/app-config.js';
import { sql } from '../../src/database/sql.js';
import { isCommonPassword } from '../../src/infrastructure/passwords/common-passwords.js';
import { hashPassword } from '../../src/infrastructure/passwords/passwords.js';
import { makeYard, PASSWORD, type Yard } from '../support/actors.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

const words = ['ada.lovelace@engines.example', 'Ada Lovelace', 'Analytical Society'];

describe('a password is common', () => {
  test.each([
    ['that is on the list', '1qaz2wsx3edc'],
    ['that is on the list in other cases', 'CounterStrike'],
    ['that is on the list between blanks', '   motherfucker '],
    ['of wide letters that are on the list', 'ｐａｓｓｗｏｒｄ１２３４'],
    ['that is one with digits and signs around it', '!!Password2026!!'],
    ['that is one with blanks to the least length', 'letmein      '],
    ['that is one again and again', 'dragondragon'],
    ['that is one again and again, between signs', 'monkey-monkey-'],
    ['of one character', 'aaaaaaaaaaaaa'],
    ['of a few characters again and again', 'xk7xk7xk7xk7'],
    ['of a run of digits', '012345678901'],
    ['of a run of letters', 'abcdefghijklm'],
    ['of a run backwards', 'zyxwvutsrqponm'],
    ['of a row of keys', 'qwertyuiopas'],
    ['that is the e-mail address', 'ada.lovelace@engines.example'],
    ['of what is before the @', 'Ada.Lovelace.2026'],
    ['of the host of the address', 'engines-2026-engines'],
    ['of the name', 'lovelace ada 1815'],
    ['of the name of the organization', 'analyticalsociety1'],
    ['of the name of the product', 'taskyard-2026!'],
    ['of the name of the product and a common word', 'taskyard-password'],
  ])('%s', async (_which, password) => {
    expect(await isCommonPassword(password, { words })).toBe(true);
  });
});

describe('a password is not common', () => {
  test.each([
    ['that has a common word in it', 'correct horse battery staple'],
    ['that has a name in it among others', 'lovelace wrote notes on menabrea'],
    ['of random characters', 'wK8vR2mTq4Zs'],
    ['of random digits', '749120385716'],
    ['in another script', 'съешь ещё этих мягких'],
    ['of signs', '§±!@#$%^&*()_+{}'],
  ])('%s', async (_which, password) => {
    expect(await isCommonPassword(password, { words })).toBe(false);
  });

  test('where a name is short and stands in it by chance', async () => {
    expect(await isCommonPassword('tablespoon kiwi', { words: ['al@b.example', 'Al'] })).toBe(false);
  });
});

describe('a common password is refused', () => {
  let server: TestServer;
  let yard: Yard;

  beforeAll(async () => {
    server = await startServer();
    yard = await makeYard(server);
  });
  afterAll(() => server.stop());

  const login = (email: string, password: string): Promise<Reply> =>
    server.call('POST', '/api/v1/auth/login', { as: null, body: { email, password } });

  test.each([
    ['for a new user', '/api/v1/users', '/password', (password: string) => ({ password, role: 'member' })],
    [
      'for the owner of a new organization',
      '/api/v1/organizations',
      '/owner/password',
      (password: string) => ({ name: 'Fourth', slug: 'fourth', owner: { password } }),
    ],
  ])('%s, with a reason, and nothing is made', async (_where, path, pointer, bodyOf) => {
    for (const password of ['Password1234', 'charles.babbage.1791']) {
      const body: Record<string, unknown> = bodyOf(password);
      const who = { email: 'charles.babbage@engines.example', display_name: 'Charles' };
      const { owner } = body;
      const sent = typeof owner === 'object' ? { ...body, owner: { ...owner, ...who } } : { ...body, ...who };
      const refused = await server.call('POST', path, { body: sent });
      expect([refused.status, refused.body.code]).toEqual([400, 'invalid-request']);
      expect(refused.body.errors).toEqual([{ path: pointer, message: expect.stringContaining('too easy to guess') }]);
    }
    const users = await server.call('GET', '/api/v1/users?limit=100');
    expect(JSON.stringify(users.body)).not.toContain('charles');
  });

  test('when a user changes theirs, and the old one stays', async () => {
    const change = (next: string): Promise<Reply> =>
      server.call('POST', '/api/v1/me/password', { as: yard.member.token, body: { current: PASSWORD, new: next } });
    for (const password of ['qwertyuiop123', 'member@first.example', 'Taskyard2026']) {
      const refused = await change(password);
      expect([refused.status, refused.body.errors?.[0]?.path]).toEqual([400, '/new']);
    }
    expect((await login(yard.member.email, PASSWORD)).status).toBe(200);
    expect((await change('an entirely new pass phrase')).status).toBe(204);
  });

  test('and does not keep out who has one already', async () => {
    const hash = await hashPassword('Password1234', 10);
    await server.database.execute(sql`update users set password_hash = ${hash} where id = ${yard.outsider.id}`);
    expect((await login(yard.outsider.email, 'Password1234')).status).toBe(200);
  });

  test('for the first user of an instance, which does not start then', async () => {
    const environment = { BOOTSTRAP_ADMIN_EMAIL: 'root@first.example', BOOTSTRAP_ADMIN_PASSWORD: 'administrator' };
    await expect(startServer(environment)).rejects.toThrow(ConfigError);
    await expect(startServer(environment)).rejects.toThrow(/^BOOTSTRAP_ADMIN_PASSWORD is too easy to guess/);
  });
});
