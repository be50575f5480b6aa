import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { EventBus, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { notFound } from '../../../kernel/errors.js';
import { AgentQueueRepository } from './agent-queue.repository.js';
import type { AgentWorker, PauseInput } from './agent-queue.schema.js';
import { AgentsRepository } from '../agents.repository.js';
import type { AgentView } from '../agents.schema.js';

/** Stops and starts an agent's queue, and says who works on it. */
@Injectable()
export class AgentQueueService {
  constructor(
    private readonly database: Database,
    private readonly repository: AgentQueueRepository,
    private readonly agents: AgentsRepository,
    private readonly bus: EventBus,
  ) {}

  /** No run of it is claimed from now on; what runs goes on, and what is handed in queues. @throws DomainError `not-found` */
  async pause(actor: Actor, id: string, input: PauseInput): Promise<AgentView> {
    const scope = writeScope(actor, 'agent:manage');
    return this.#change(actor, id, (tx) => this.repository.pause(scope, tx, id, input.reason ?? null));
  }

  /** @throws DomainError `not-found` */
  async resume(actor: Actor, id: string): Promise<AgentView> {
    const scope = writeScope(actor, 'agent:manage');
    return this.#change(actor, id, async (tx) => {
      await this.repository.resume(scope, tx, id);
      tx.afterCommit(() => {
        this.bus.publish(workTopic(scope.organizationId));
      });
    });
  }

  /** @throws DomainError `not-found` */
  async workers(actor: Actor, id: string): Promise<{ data: AgentWorker[] }> {
    const data = await this.repository.workers(readScope(actor, 'agent:read'), id);
    if (data === null) {
      throw notFound('agent');
    }
    return { data };
  }

  async #change(actor: Actor, id: string, change: (tx: Tx) => Promise<void>): Promise<AgentView> {
    const scope = writeScope(actor, 'agent:manage');
    return this.database.write(scope, async (tx) => {
      if ((await this.agents.lock(scope, tx, id)) === null) {
        throw notFound('agent');
      }
      await change(tx);
      const agent = await this.agents.find(scope, id, tx);
      if (agent === null) {
        throw notFound('agent');
      }
      return agent;
    });
  }
}
