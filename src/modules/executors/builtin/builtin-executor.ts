import { Injectable } from '@nestjs/common';
import { AppConfig } from '../../../config/app-config.js';
import type { AgentForExecution } from '../../agents/index.js';
import { type Executor, type LeasedRun, RunFailure, type RunResult } from '../executor.js';
import type { BuiltinAgent } from './builtin-agent.js';
import { DigestAgent } from './digest-agent.js';

const AGENTS: readonly BuiltinAgent[] = [new DigestAgent()];

/** Runs agents of kind `builtin`: code of ours, found by the name in their config. */
@Injectable()
export class BuiltinExecutor implements Executor {
  readonly kind = 'builtin';
  readonly concurrency: number;

  constructor(config: AppConfig) {
    this.concurrency = config.builtinConcurrency;
  }

  async execute(run: LeasedRun, agent: AgentForExecution): Promise<RunResult> {
    const found = AGENTS.find((candidate) => candidate.name === agent.config['builtin']);
    if (found === undefined) {
      throw new RunFailure(
        'UnknownBuiltin',
        'This version has no builtin agent of the name in the agent’s config.',
        false,
      );
    }
    return { output: await found.execute(run) };
  }
}
