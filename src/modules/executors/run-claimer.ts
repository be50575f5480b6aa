import { Injectable } from '@nestjs/common';
import { EventBus } from '../../infrastructure/event-bus/event-bus.js';
import { Log } from '../../kernel/log.js';
import { AssetsService } from '../assets/index.js';
import { ActorLoader } from '../auth/index.js';
import { AgentsService } from '../agents/index.js';
import { WorkerTextRedactor, WorkerService } from '../runs/index.js';
import type { Executor } from './executor.js';
import type { DueOrganization } from './executors.repository.js';
import { RunExecution } from './run-execution.js';

/** Claims one run at a time for the worker in this process. */
@Injectable()
export class RunClaimer {
  constructor(
    private readonly workers: WorkerService,
    private readonly said: WorkerTextRedactor,
    private readonly assets: AssetsService,
    private readonly actors: ActorLoader,
    private readonly agents: AgentsService,
    private readonly bus: EventBus,
    private readonly log: Log,
  ) {}

  /** A leased run, ready to be worked on; null where somebody else was faster. */
  async claim(
    due: DueOrganization,
    executor: Executor,
    workerId: string,
    stop: AbortSignal,
  ): Promise<RunExecution | null> {
    const actor = await this.actors.load(due.organizationId, due.principalId);
    if (actor === null) {
      return null;
    }
    const claim = { agents: due.agents, max: 1, wait_seconds: 0, worker_id: workerId };
    const { runs } = await this.workers.claim(actor, claim, stop);
    const work = runs[0];
    if (work === undefined) {
      return null;
    }
    const agent = await this.agents.forExecution(actor, work.run.agent_id);
    const { workers, said, assets, bus, log } = this;
    return new RunExecution({ actor, work, agent, executor, stop, workers, said, assets, bus, log });
  }
}
