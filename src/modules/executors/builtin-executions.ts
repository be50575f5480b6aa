import { Injectable } from '@nestjs/common';
import { Log } from '../../kernel/log.js';
import { AssetsService } from '../assets/index.js';
import { ActorLoader } from '../auth/index.js';
import { AgentsService } from '../agents/index.js';
import { WorkerService } from '../runs/index.js';
import type { BuiltinAgent } from './builtin/builtin-agent.js';
import { DigestAgent } from './builtin/digest-agent.js';
import { BuiltinExecution } from './builtin-execution.js';
import type { DueOrganization } from './executors.repository.js';

const AGENTS: readonly BuiltinAgent[] = [new DigestAgent()];

/** Claims one run at a time for the worker in this process. */
@Injectable()
export class BuiltinExecutions {
  constructor(
    private readonly workers: WorkerService,
    private readonly assets: AssetsService,
    private readonly actors: ActorLoader,
    private readonly agents: AgentsService,
    private readonly log: Log,
  ) {}

  /** A leased run, ready to be worked on; null where somebody else was faster. */
  async claim(due: DueOrganization, workerId: string, stop: AbortSignal): Promise<BuiltinExecution | null> {
    const actor = await this.actors.load(due.organizationId, due.principalId);
    if (actor === null) {
      return null;
    }
    const { runs } = await this.workers.claim(
      actor,
      { agents: due.agents, max: 1, wait_seconds: 0, worker_id: workerId },
      stop,
    );
    const work = runs[0];
    if (work === undefined) {
      return null;
    }
    const name = await this.agents.builtinName(actor, work.run.agent_id);
    const agent = AGENTS.find((candidate) => candidate.name === name) ?? null;
    return new BuiltinExecution({
      actor,
      work,
      agent,
      stop,
      workers: this.workers,
      assets: this.assets,
      log: this.log,
    });
  }
}
