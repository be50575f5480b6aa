import { Injectable } from '@nestjs/common';
import { AppConfig } from '../../../config/app-config.js';
import { Egress, EgressError, type EgressFailure } from '../../../infrastructure/egress/egress.js';
import { SigningSecrets } from '../../../infrastructure/egress/signing-secrets.js';
import { signatureHeaders } from '../../../infrastructure/egress/standard-webhooks.js';
import { Clock } from '../../../kernel/clock.js';
import { type AgentForExecution, httpConfigSchema } from '../../agents/index.js';
import { type Executor, type LeasedRun, RunFailure, type RunResult } from '../executor.js';
import { agentRunPayload } from '../agent-run-payload.js';
import { readReply } from './http-reply.js';

const REPLY_BYTES = 64 * 1024 * 1024;
/** The run's own deadline ends it first; this is for a process that has lost sight of it. */
const BEYOND_DEADLINE_MS = 30_000;

/** Runs agents of kind `http`: one signed POST of the run, and its reply as events and result. `docs/agents/http.md` is its contract. */
@Injectable()
export class HttpExecutor implements Executor {
  readonly kind = 'http';
  readonly concurrency: number;

  constructor(
    private readonly egress: Egress,
    private readonly signing: SigningSecrets,
    private readonly clock: Clock,
    config: AppConfig,
  ) {
    this.concurrency = config.httpConcurrency;
  }

  async execute(run: LeasedRun, agent: AgentForExecution): Promise<RunResult> {
    const config = httpConfigSchema.safeParse(agent.config);
    if (!config.success) {
      throw new RunFailure('InvalidConfig', 'The agent has no URL to send the run to.', false);
    }
    const { url, headers = {} } = config.data;
    const { run: view, lease } = run.work;
    const body = JSON.stringify({ ...agentRunPayload(run.work), secrets: run.work.secrets });
    const signature = signatureHeaders(
      // One for each lease, whose counter is the first part of the fence: every sending is one.
      {
        id: `${view.id}-${lease.fence.split('.')[0] ?? ''}`,
        timestampSeconds: Math.floor(this.clock.nowMs() / 1000),
        body,
      },
      this.signing.ofAgent(run.organizationId, view.agent_id, url),
    );
    try {
      const reply = await this.egress.send({
        url,
        method: 'POST',
        headers: {
          'user-agent': 'Taskyard',
          ...headers,
          'content-type': 'application/json',
          accept: 'application/json, application/x-ndjson, text/event-stream',
          ...signature,
        },
        body,
        totalTimeoutMs: agent.timeout_seconds * 1000 + BEYOND_DEADLINE_MS,
        replyLimitBytes: REPLY_BYTES,
        signal: run.signal,
      });
      return await readReply(reply, run);
    } catch (error) {
      throw error instanceof EgressError
        ? new RunFailure(NAMES[error.kind], error.message, error.kind !== 'barred' && error.kind !== 'too-large')
        : error;
    }
  }
}

const NAMES: Readonly<Record<EgressFailure, string>> = {
  barred: 'DestinationBarred',
  unreachable: 'Unreachable',
  'timed-out': 'TimedOut',
  'too-large': 'OutputTooLarge',
  broken: 'BrokenReply',
};
