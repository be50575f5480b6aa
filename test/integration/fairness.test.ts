import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ExecutorsRepository } from '../../src/modules/executors/executors.repository.js';
import { signIn } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const PASSWORD = 'a password long enough';
const NOBODY = '00000000-0000-0000-0000-000000000000';

let server: TestServer;
/** A credential for each organisation, and the id of its digest agent. */
const organizations: { as: string; digest: string }[] = [];

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  const credentials = [BOOTSTRAP_KEY];
  for (const slug of ['second', 'third', 'fourth']) {
    const email = `owner@${slug}.example`;
    await server.call('POST', '/api/v1/organizations', {
      body: { name: slug, slug, owner: { email, password: PASSWORD } },
    });
    credentials.push(await signIn(server, email, PASSWORD));
  }
  for (const as of credentials) {
    for (let task = 0; task < 3; task += 1) {
      await server.call('POST', '/api/v1/tasks', { as, body: { prompt: 'digest this' } });
    }
    const agents = await server.call('GET', '/api/v1/agents?slug=digest', { as });
    organizations.push({ as, digest: agents.body.data[0].id });
  }
});

afterAll(() => server.stop());

async function due(most: number, lastServed: string): Promise<string[]> {
  const found = await server.app.get(ExecutorsRepository).dueOrganizations(most, [{ kind: 'builtin', lastServed }], []);
  return found.map(({ organizationId }) => organizationId);
}

test('every organisation with due runs has its turn, however few are looked at at a time', async () => {
  const all = await due(100, NOBODY);
  expect(all).toHaveLength(4);
  const served: string[] = [];
  for (let round = 0; round < 6; round += 1) {
    const [next] = await due(2, served.at(-1) ?? NOBODY);
    served.push(next ?? '');
  }
  expect(served).toEqual([...all, ...all.slice(0, 2)]);
  expect(await due(3, all[2] ?? '')).toEqual([all[3], all[0], all[1]]);
});

test('an organisation whose only agent is paused has none, until it is resumed', async () => {
  const before = await due(100, NOBODY);
  const [, second] = organizations;
  const path = `/api/v1/agents/${second?.digest ?? ''}`;
  await server.call('POST', `${path}/pause`, { as: second?.as ?? null });
  expect(await due(100, NOBODY)).toHaveLength(before.length - 1);
  await server.call('POST', `${path}/resume`, { as: second?.as ?? null });
  expect(await due(100, NOBODY)).toEqual(before);
});
