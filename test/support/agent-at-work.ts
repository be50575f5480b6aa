import type { Credential, Reply, TestServer } from './server.js';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape
export type Shown = any;

/** A worker agent of its own, and whoever works for it: what tests of runs do over HTTP again and again. */
export class AgentAtWork {
  private constructor(
    readonly server: TestServer,
    readonly slug: string,
    readonly id: string,
  ) {}

  static async make(server: TestServer, slug: string, settings: object = {}): Promise<AgentAtWork> {
    const made = await server.call('POST', '/api/v1/agents', {
      body: { slug, name: slug, kind: 'worker', max_attempts: 2, ...settings },
    });
    if (made.status !== 201) {
      throw new Error(`the agent could not be made: ${made.text}`);
    }
    return new AgentAtWork(server, slug, made.body.id);
  }

  async task(more: object = {}, as?: Credential): Promise<{ taskId: string; runId: string }> {
    const reply = await this.server.call('POST', '/api/v1/tasks', {
      body: { agent: this.slug, prompt: 'work on this', ...more },
      ...(as === undefined ? {} : { as }),
    });
    if (reply.status !== 201) {
      throw new Error(`the task could not be made: ${reply.text}`);
    }
    return { taskId: reply.body.task.id, runId: reply.body.stream.streamId };
  }

  /** What is due now, at most `max`. */
  async claimAll(max = 100): Promise<Claimed[]> {
    const reply = await this.server.call('POST', '/api/v1/worker/claim', { body: { agents: [this.slug], max } });
    if (reply.status !== 200) {
      throw new Error(`nothing could be claimed: ${reply.text}`);
    }
    return reply.body.runs.map((claimed: Shown) => ({
      runId: claimed.run.id,
      fence: claimed.lease.fence,
      claimed,
    }));
  }

  async claim(): Promise<Claimed> {
    const [claimed] = await this.claimAll(1);
    if (claimed === undefined) {
      throw new Error('there was nothing to claim');
    }
    return claimed;
  }

  act({ runId, fence }: Pick<Claimed, 'runId' | 'fence'>, action: string, body: object = {}): Promise<Reply> {
    return this.server.call('POST', `/api/v1/worker/runs/${runId}/${action}`, { body: { fence, ...body } });
  }

  async run(runId: string): Promise<Shown> {
    return (await this.server.call('GET', `/api/v1/runs/${runId}`)).body;
  }

  async events(runId: string): Promise<{ seq: number; type: string; data: Shown }[]> {
    return (await this.server.call('GET', `/api/v1/streams/${runId}/events?after=0&limit=100`)).body.data;
  }
}

export interface Claimed {
  runId: string;
  fence: string;
  claimed: Shown;
}
