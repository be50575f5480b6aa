import { Injectable } from '@nestjs/common';
import { type Actor, type ReadScope, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { DomainError, forbidden, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { resolveRunConfig, type RunConfig } from '../../agents/index.js';
import { RunEnqueuer } from './run-enqueuer.js';
import { ChildrenService } from '../children/children.service.js';
import { isEnded } from '../core/run.state.js';
import { RunsQuery, type RunView } from '../views/runs.query.js';
import { RunsRepository } from './runs.repository.js';
import type { NewRunInput, RunListQuery } from '../views/runs.schema.js';

export interface CreateRun {
  taskId: string;
  payload?: unknown;
  runConfig?: RunConfig | undefined;
  priority?: number | undefined;
  /** As bodies say them, checked by the schemas of `run-times.ts`. */
  delay?: number | string | undefined;
  ttl?: number | string | undefined;
  /** The task's own where undefined. */
  concurrencyKey?: string | undefined;
  idempotencyKey?: string | null | undefined;
  isTest?: boolean | undefined;
  scheduleId?: string | undefined;
}

@Injectable()
export class RunsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: RunsRepository,
    private readonly query: RunsQuery,
    private readonly idempotency: Idempotency,
    private readonly database: Database,
    private readonly bus: EventBus,
    private readonly admission: RunEnqueuer,
    private readonly children: ChildrenService,
    cursors: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(cursors, 'runs');
  }

  /**
   * Queues a run of the task inside the caller's transaction, so that there is never a task without the run it was created with.
   * Workers are hinted after the commit.
   * @throws DomainError `not-found`, `forbidden`, `conflict` where its agent is gone, `invalid-request` for an impossible time,
   * `limit-reached` where its concurrency key is full and the agent drops the newest
   */
  async createRun(tx: Tx, scope: WriteScope, input: CreateRun): Promise<{ id: string; number: number }> {
    const settings = await this.repository.settings(scope, tx, input.taskId);
    if (settings === null) {
      await tx.assertLive(scope);
      throw (await this.query.taskReadable(scope, input.taskId, tx)) ? forbidden() : notFound('task');
    }
    if (settings.agentDeleted) {
      throw new DomainError('conflict', 'The agent of this task has been deleted; give the task another agent first.');
    }
    const id = newId();
    const admitted = await this.admission.admit(tx, scope, settings, input);
    const created = await this.repository.create(scope, tx, {
      id,
      ...admitted,
      taskId: input.taskId,
      payload: input.payload,
      runConfig: resolveRunConfig(
        {
          agentId: settings.agentId,
          agentDefault: settings.agentDefault,
          task: settings.taskConfig,
          taskModel: settings.taskModel,
        },
        input.runConfig,
      ),
      priority: input.priority ?? null,
      idempotencyKey: input.idempotencyKey ?? null,
      isTest: input.isTest ?? false,
      scheduleId: input.scheduleId ?? null,
    });
    if (created === null) {
      throw notFound('task');
    }
    if (created.isFirst) {
      await this.repository.incrementTaskCounters(scope, tx, { shown: 1, shownPrivate: created.isPrivate ? 1 : 0 });
    }
    tx.afterCommit(() => {
      this.bus.publish(streamTopic(id));
      this.bus.publish(workTopic(scope.organizationId));
    });
    return { id, number: created.number };
  }

  /** `POST /tasks/{id}/runs`. */
  async start(
    actor: Actor,
    taskId: string,
    input: NewRunInput,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<RunView>> {
    const scope = writeScope(actor, 'run:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const { id } = await this.createRun(tx, scope, {
        taskId,
        payload: input.payload,
        runConfig: input.run_config,
        priority: input.priority,
        delay: input.delay,
        ttl: input.ttl,
        concurrencyKey: input.concurrency_key,
        idempotencyKey: ticket?.key,
      });
      return this.#required(await this.query.find(readScope(actor, 'run:read'), id, tx));
    });
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, runId: string): Promise<RunView> {
    return this.#required(await this.query.find(readScope(actor, 'run:read'), runId));
  }

  /** The same inside a transaction that may have made it. @throws DomainError `not-found` */
  async getIn(tx: Tx, actor: Actor, runId: string): Promise<RunView> {
    return this.#required(await this.query.find(readScope(actor, 'run:read'), runId, tx));
  }

  async list(actor: Actor, filter: RunListQuery): Promise<Page<RunView>> {
    return this.#page(readScope(actor, 'run:read'), filter, filter.task_id ?? null);
  }

  /** The runs of one task; 404 where the task is not readable, an empty page where it has none. */
  async listOfTask(actor: Actor, taskId: string, filter: RunListQuery): Promise<Page<RunView>> {
    const scope = readScope(actor, 'run:read');
    const page = await this.#page(scope, filter, taskId);
    if (page.data.length === 0 && !(await this.query.taskReadable(scope, taskId))) {
      throw notFound('task');
    }
    return page;
  }

  /**
   * Ends a run, or where a worker has it asks the worker to; `ended` says which. Canceling what is canceled changes nothing.
   * @throws DomainError `not-found`, `forbidden`, `run-ended`
   */
  async cancel(actor: Actor, runId: string, force: boolean): Promise<{ run: RunView; ended: boolean }> {
    const scope = writeScope(actor, 'run:contribute');
    const outcome = await this.repository.cancel(scope, runId, force);
    if (outcome === null) {
      await this.database.assertLive(scope);
      await this.get(actor, runId);
      throw forbidden();
    }
    if (!outcome.changed && isEnded(outcome.status) && outcome.status !== 'canceled') {
      throw new DomainError('run-ended', `This run has already ended as ${outcome.status}.`);
    }
    this.bus.publish(streamTopic(runId));
    if (outcome.status === 'canceled') {
      await this.children.cancelDescendants(scope, runId, force);
    }
    return { run: await this.get(actor, runId), ended: isEnded(outcome.status) };
  }

  /** For deletion: ends all that lives of the task, with its fences raised. */
  async endAllOfTask(tx: Tx, scope: WriteScope, taskId: string): Promise<void> {
    const ended = await this.repository.endAllOfTask(scope, tx, taskId);
    tx.afterCommit(() => {
      for (const id of ended) {
        this.bus.publish(streamTopic(id));
      }
    });
  }

  /** Moves the counts of tasks that have been run: for deletion, and for a change of visibility to or from private. */
  async incrementTaskCounters(
    tx: Tx,
    scope: WriteScope,
    delta: { shown: number; shownPrivate: number },
  ): Promise<void> {
    await this.repository.incrementTaskCounters(scope, tx, delta);
  }

  async #page(scope: ReadScope, filter: RunListQuery, taskId: string | null): Promise<Page<RunView>> {
    const page = this.#pages.open(scope, filter, '-created_at', taskId ?? '');
    return this.#pages.close(scope, filter, page, await this.query.list(scope, filter, taskId, page), taskId ?? '');
  }

  #required(run: RunView | null): RunView {
    if (run === null) {
      throw notFound('run');
    }
    return run;
  }

  /** Asked on the transaction's own connection: requests that each hold one and wait for another would wait for each other. */
}
