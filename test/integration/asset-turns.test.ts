import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { AssetJobsRepository, BEFORE_ALL } from '../../src/modules/assets/jobs/asset-jobs.repository.js';
import { signIn } from '../support/actors.js';
import { picture } from '../support/media.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const PASSWORD = 'a password long enough';
const ENVIRONMENT = { EGRESS_ALLOW_CIDRS: '127.0.0.0/8', EGRESS_MEMBER_ALLOW_CIDRS: '127.0.0.0/8' };

interface Tenant {
  as: string;
  taskId: string;
}

async function tenants(server: TestServer, slugs: readonly string[]): Promise<Tenant[]> {
  const credentials = [BOOTSTRAP_KEY];
  for (const slug of slugs) {
    const email = `owner@${slug}.example`;
    await server.call('POST', '/api/v1/organizations', {
      body: { name: slug, slug, owner: { email, password: PASSWORD } },
    });
    credentials.push(await signIn(server, email, PASSWORD));
  }
  const made: Tenant[] = [];
  for (const as of credentials) {
    const task = await server.call('POST', '/api/v1/tasks', { as, body: { prompt: 'keep files' } });
    made.push({ as, taskId: task.body.task.id });
  }
  return made;
}

/** An asset whose bytes the server is to fetch. */
async function external(server: TestServer, { as, taskId }: Tenant, url: string): Promise<string> {
  const body = { task_id: taskId, name: 'a.png', external_url: url };
  const { status, body: made } = await server.call('POST', '/api/v1/assets', { as, body });
  expect([status, made]).toEqual([201, expect.anything()]);
  return made.asset.id;
}

describe('the queue of work on assets', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ ...ENVIRONMENT, ROLE: 'api' });
    const [first, second, third] = await tenants(server, ['second', 'third']);
    for (const tenant of [first, first, first, first, second, third, third]) {
      if (tenant !== undefined) await external(server, tenant, 'http://127.0.0.1:9/a.png');
    }
  });
  afterAll(() => server.stop());

  test('gives each organization its turn, however many jobs another had waiting before, and passes over one at its limit', async () => {
    const queue = server.app.get(AssetJobsRepository);
    const served: string[] = [];
    for (;;) {
      const job = await queue.take('fetch', 60_000, { after: served.at(-1) ?? BEFORE_ALL, except: [] });
      if (job === null) break;
      served.push(job.organizationId);
    }
    expect(served).toHaveLength(7);
    expect(new Set(served.slice(0, 3)).size).toBe(3);
    expect(new Set(served.slice(3, 5)).size).toBe(2);

    await server.database.execute(sql`update assets set job_due_at = now() where job is not null`);
    const busy = [...new Set(served)].sort();
    const [left] = busy.splice(1, 1);
    const next = { after: left ?? '', except: busy };
    expect((await queue.take('fetch', 60_000, next))?.organizationId).toBe(left);
    expect(await queue.take('fetch', 60_000, { after: BEFORE_ALL, except: [...busy, left ?? ''] })).toBeNull();
  });
});

describe('a host that sends nothing, or next to nothing', () => {
  let server: TestServer;
  let host: Server;
  let base: string;
  const asked: string[] = [];
  beforeAll(async () => {
    const bytes = await picture(32, 20, 'png');
    host = createServer((request, response) => {
      asked.push(request.url ?? '');
      if (request.url === '/good.png') response.end(bytes);
      else if (request.url === '/drip.png') response.writeHead(200).write(bytes.subarray(0, 20));
    });
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
    server = await startServer(ENVIRONMENT);
  });
  afterAll(async () => {
    await server.stop();
    host.closeAllConnections();
    host.close();
  });

  async function status(id: string): Promise<{ status: string; error: string | null } | null> {
    return server.database.row(sql`select status, error from assets where id = ${id}`);
  }

  async function until(id: string, wanted: string, meanwhile: () => void = () => undefined): Promise<string | null> {
    for (;;) {
      const row = await status(id);
      if (row?.status === wanted) return row.error;
      expect(row?.status).toBe('processing');
      meanwhile();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  test('holds two lanes of its own organization, keeps no other from fetching, and is given up below the minimum rate', async () => {
    const [first, second] = await tenants(server, ['second']);
    if (first === undefined || second === undefined) throw new Error('two organizations were made');
    const slow: string[] = [];
    for (const path of ['/drip.png', '/silent.png', '/silent.png', '/drip.png', '/silent.png']) {
      slow.push(await external(server, first, `${base}${path}`));
    }
    const good = await external(server, second, `${base}/good.png`);
    await until(good, 'ready');
    expect(asked.filter((path) => path !== '/good.png').length).toBeLessThanOrEqual(2);
    for (const id of slow) {
      const error = await until(id, 'failed', () => server.clock.advance(31_000));
      expect(error).toBe('The address sent less than 65536 bytes in 30 seconds, and the fetch was given up.');
    }
    expect(asked.filter((path) => path !== '/good.png')).toHaveLength(slow.length);
  });
});
