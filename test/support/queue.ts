import { expect } from '@jest/globals';
import { LeaseRescuer } from '../../src/modules/runs/index.js';
import { sql } from '../../src/database/sql.js';
import type { Credential, Reply, TestServer } from './server.js';

export interface Lease {
  runId: string;
  fence: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape
  run: any;
}

/** One agent of a test server with its tasks, runs and workers; every test makes its own. */
export class TestQueue {
  constructor(
    readonly server: TestServer,
    readonly agent: string,
    readonly agentId: string,
  ) {}

  static async make(server: TestServer, agent: string, settings: object = {}): Promise<TestQueue> {
    const made = await server.call('POST', '/api/v1/agents', { body: { slug: agent, kind: 'worker', ...settings } });
    expect([made.status, made.text]).toEqual([201, expect.any(String)]);
    return new TestQueue(server, agent, made.body.id);
  }

  /** Hands in a task; answers the id of its run. */
  async run(more: object = {}): Promise<string> {
    const reply = await this.hand(more);
    expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
    return reply.body.stream.streamId;
  }

  hand(more: object = {}): Promise<Reply> {
    return this.server.call('POST', '/api/v1/tasks', { body: { agent: this.agent, prompt: 'work', ...more } });
  }

  async claim(max = 1, more: { worker_id?: string; as?: Credential } = {}): Promise<Lease[]> {
    const { as, ...rest } = more;
    const reply = await this.server.call('POST', '/api/v1/worker/claim', {
      body: { agents: [this.agent], max, ...rest },
      ...(as === undefined ? {} : { as }),
    });
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
    return reply.body.runs.map((claimed: { run: { id: string }; lease: { fence: string } }) => ({
      runId: claimed.run.id,
      fence: claimed.lease.fence,
      run: claimed.run,
    }));
  }

  /** Exactly one run, leased. */
  async one(): Promise<Lease> {
    const [lease] = await this.claim();
    if (lease === undefined) {
      throw new Error('nothing was due');
    }
    return lease;
  }

  act(lease: Lease, action: string, body: object = {}): Promise<Reply> {
    return this.server.call('POST', `/api/v1/worker/runs/${lease.runId}/${action}`, {
      body: { fence: lease.fence, ...body },
    });
  }

  fail(lease: Lease, more: object = {}): Promise<Reply> {
    return this.act(lease, 'fail', { error: { name: 'Oops', message: 'it did not work' }, ...more });
  }

  complete(lease: Lease): Promise<Reply> {
    return this.act(lease, 'complete', { output: {} });
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape
  async get(runId: string): Promise<any> {
    const reply = await this.server.call('GET', `/api/v1/runs/${runId}`);
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
    return reply.body;
  }

  /** Types of the run's events, `status` ones with the status. */
  async told(runId: string): Promise<string[]> {
    const reply = await this.server.call('GET', `/api/v1/streams/${runId}/events?after=0&limit=100`);
    return reply.body.data.map(({ type, data }: { type: string; data: { status?: string } }) =>
      type === 'status' ? `status ${data.status ?? ''}` : type,
    );
  }

  /** Lets database time go by for one run: every instant on its row moves into the past. */
  async pass(runId: string, seconds: number): Promise<void> {
    const by = sql`make_interval(secs => ${seconds})`;
    await this.server.database.execute(sql`
      update runs set available_at = available_at - ${by}, delayed_until = delayed_until - ${by}, expires_at = expires_at - ${by},
        lease_expires_at = lease_expires_at - ${by}, deadline_at = deadline_at - ${by} where id = ${runId}`);
  }

  sweep(): Promise<number> {
    return this.server.app.get(LeaseRescuer).sweep();
  }
}
