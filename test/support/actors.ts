import type { Credential, TestServer } from './server.js';

export const PASSWORD = 'correct horse battery staple';

export interface Person {
  id: string;
  email: string;
  /** An access token. */
  token: string;
}

/**
 * Two organisations. The first: the bootstrap admin key and people in three teams; the second: whoever must see nothing of it.
 *
 * | who | organisation role | red | blue | green |
 * |---|---|---|---|---|
 * | admin | admin | | | |
 * | maintainer | member | maintainer | | |
 * | member | member | member | member | |
 * | viewer | viewer | member | | viewer |
 * | outsider | member | | | |
 * | stranger | owner of the second organisation | | | |
 */
export interface Yard {
  teams: { red: string; blue: string; green: string };
  admin: Person;
  maintainer: Person;
  member: Person;
  viewer: Person;
  outsider: Person;
  stranger: Person;
  /** An admin key of the second organisation. */
  strangerKey: string;
  /** A worker key of the first. */
  workerKey: string;
}

export async function makeYard(server: TestServer): Promise<Yard> {
  const [red, blue, green] = [await team(server, 'red'), await team(server, 'blue'), await team(server, 'green')];
  const admin = await person(server, 'admin', 'admin');
  const maintainer = await person(server, 'maintainer', 'member');
  const member = await person(server, 'member', 'member');
  const viewer = await person(server, 'viewer', 'viewer');
  const outsider = await person(server, 'outsider', 'member');
  await join(server, red, maintainer, 'maintainer');
  await join(server, red, member, 'member');
  await join(server, blue, member, 'member');
  await join(server, red, viewer, 'member');
  await join(server, green, viewer, 'viewer');

  const email = 'stranger@elsewhere.example';
  const other = await server.call('POST', '/api/v1/organizations', {
    body: { name: 'Elsewhere', slug: 'elsewhere', owner: { email, password: PASSWORD } },
  });
  required(other.status, 201, other.text);
  const token = await signIn(server, email);
  const me = await server.call('GET', '/api/v1/me', { as: token });
  return {
    teams: { red, blue, green },
    admin,
    maintainer,
    member,
    viewer,
    outsider,
    stranger: { id: me.body.user.id, email, token },
    strangerKey: await key(server, { name: 'elsewhere', role: 'admin' }, token),
    workerKey: await key(server, { name: 'worker', role: 'worker' }),
  };
}

export async function person(server: TestServer, name: string, role: string): Promise<Person> {
  const email = `${name}@first.example`;
  const reply = await server.call('POST', '/api/v1/users', {
    body: { email, display_name: name, role, password: PASSWORD },
  });
  required(reply.status, 201, reply.text);
  return { id: reply.body.id, email, token: await signIn(server, email) };
}

export async function team(server: TestServer, name: string): Promise<string> {
  const reply = await server.call('POST', '/api/v1/teams', { body: { name, slug: name } });
  required(reply.status, 201, reply.text);
  return reply.body.id;
}

export async function join(server: TestServer, teamId: string, who: Person, role: string): Promise<void> {
  const reply = await server.call('PUT', `/api/v1/teams/${teamId}/members/${who.id}`, { body: { role } });
  required(reply.status, 200, reply.text);
}

export async function key(server: TestServer, body: object, as?: Credential): Promise<string> {
  const reply = await server.call('POST', '/api/v1/api-keys', { body, ...(as === undefined ? {} : { as }) });
  required(reply.status, 201, reply.text);
  return reply.body.key;
}

export async function signIn(server: TestServer, email: string, password = PASSWORD): Promise<string> {
  const reply = await server.call('POST', '/api/v1/auth/login', { as: null, body: { email, password } });
  required(reply.status, 200, reply.text);
  return reply.body.access_token;
}

function required(status: number, expected: number, text: string): void {
  if (status !== expected) {
    throw new Error(`the yard could not be made: ${status} ${text}`);
  }
}
