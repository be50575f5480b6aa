/**
 * Runs that start runs. A child is a run of the same task with an agent of its own; it never sets the task's status. A parent may go on
 * beside its children, or wait for them: then its lease ends, and the end of the last child puts it back into the queue (the trigger
 * `runs_announce_end`, in that end's transaction), to be told with its next claim what became of each.
 *
 * A child that fails does not fail its parent: the parent is told and decides. A parent that is canceled takes its descendants with
 * it, in batches, so that a large family holds no lock for long; what a crash leaves of that, the sweep finds.
 */
import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, unsafelySystemScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { AgentsService, resolveRunConfig } from '../../agents/index.js';
import { RunTreeRepository, type NewChild, type StartedChild } from './run-tree.repository.js';
import { leaseLost, parseFence, type Fence } from '../core/leases.js';
import { assertNoCancel } from '../interaction/open-question.js';
import {
  MAX_CHILDREN,
  MAX_DEPTH,
  type ChildrenInput,
  type ChildrenReply,
  type RunTree,
} from '../interaction/interaction.schema.js';
import { RunsRepository } from '../lifecycle/runs.repository.js';
import { cleanChildren, WorkerTextRedactor } from '../worker/worker-text-redactor.js';
import { WaitsRepository, type LockedRun } from '../interaction/waits.repository.js';

/** Runs that one transaction of a cascade cancels. */
const CASCADE_BATCH = 200;
/** Rounds of the sweep between two looks for them. */
const CASCADES_EVERY = 5;
/** Canceled parents a sweep goes on with. */
const MAX_CASCADES = 50;

@Injectable()
export class ChildrenService {
  #round = 0;

  constructor(
    private readonly family: RunTreeRepository,
    private readonly waits: WaitsRepository,
    private readonly runs: RunsRepository,
    private readonly agents: AgentsService,
    private readonly database: Database,
    private readonly bus: EventBus,
    private readonly said: WorkerTextRedactor,
  ) {}

  /**
   * Starts children of the run that the caller has on lease, all or none, and waits for them where asked to. A `batch_id` sent
   * before gets the children it started, by whichever attempt.
   * @throws DomainError `lease-lost`, `invalid-request` past the depth or the number of children, `not-found` for an agent,
   *   `batch-mismatch`, `conflict` where a cancel was asked for and it would wait
   */
  async start(actor: Actor, runId: string, said: ChildrenInput): Promise<ChildrenReply> {
    const scope = writeScope(actor, 'worker:act');
    const fence = parseFence(said.fence);
    const input = cleanChildren(await this.said.redactorOf(scope, runId, fence), said);
    const digest = createHash('sha256').update(JSON.stringify(input.runs)).digest();
    const reply = await this.database.transaction(async (tx): Promise<ChildrenReply | null> => {
      const held = await this.waits.lockHeld(scope, tx, runId, fence);
      const known = await this.#known(scope, tx, runId, input.batch_id, digest);
      if (held === null) {
        return known === null ? null : { runs: known, waiting: false };
      }
      const started = known ?? (await this.#create(scope, tx, runId, held, input, digest));
      if (input.wait) {
        assertNoCancel(held.cancelRequested);
        await this.#wait(scope, tx, runId, fence, started);
      }
      tx.afterCommit(() => this.#announce(scope.organizationId, [runId, ...started.map(({ id }) => id)]));
      return { runs: started, waiting: input.wait };
    });
    // A reply that got lost: what ended the lease was this very request.
    const given = reply?.waiting === true ? null : await this.#givenBefore(scope, runId, input);
    const answer = given ?? reply;
    if (answer === null) {
      await this.database.assertLive(scope);
      throw leaseLost();
    }
    return answer;
  }

  /** The whole family of a run, from its root. @throws DomainError `not-found` */
  async tree(actor: Actor, runId: string): Promise<RunTree> {
    const tree = await this.family.tree(readScope(actor, 'run:read'), runId);
    if (tree === null) {
      throw notFound('run');
    }
    return tree;
  }

  /** Cancels what lives of the descendants of a canceled run: at once what no worker has (or all, with `force`), the rest by a wish. */
  async cancelDescendants(scope: WriteScope, runId: string, force: boolean): Promise<void> {
    for (;;) {
      const moved = await this.database.transaction((tx) =>
        this.runs.cancelDescendants(scope, tx, runId, { force, most: CASCADE_BATCH }),
      );
      for (const id of moved) {
        this.bus.publish(streamTopic(id));
      }
      if (moved.length < CASCADE_BATCH) {
        return;
      }
    }
  }

  /** The same after a sweep canceled the run. */
  async followCanceled(organizationId: string, runId: string): Promise<void> {
    await this.cancelDescendants(unsafelySystemScope(organizationId, 'children of a canceled run'), runId, false);
  }

  /** Goes on with cascades that broke off, and with those of parents that something else canceled; every few rounds. */
  async sweep(): Promise<number> {
    this.#round += 1;
    if (this.#round % CASCADES_EVERY !== 0) {
      return 0;
    }
    const parents = await this.family.unfinishedCascades(MAX_CASCADES);
    for (const { organizationId, id } of parents) {
      await this.followCanceled(organizationId, id);
    }
    return parents.length;
  }

  async #known(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    batchId: string | undefined,
    digest: Buffer,
  ): Promise<StartedChild[] | null> {
    const batch = batchId === undefined ? null : await this.family.batch(scope, tx, runId, batchId);
    if (batch === null) {
      return null;
    }
    if (!batch.digest.equals(digest)) {
      throw new DomainError('batch-mismatch', 'This batch_id was used for other runs; use a new one.');
    }
    return batch.children;
  }

  async #create(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    held: LockedRun,
    input: ChildrenInput,
    digest: Buffer,
  ): Promise<StartedChild[]> {
    if (input.runs.length === 0) {
      return [];
    }
    if (held.depth >= MAX_DEPTH) {
      throw invalid('/runs', `this run is at depth ${held.depth}; children go down to depth ${MAX_DEPTH}`);
    }
    const { all } = await this.family.count(scope, tx, runId);
    if (all + input.runs.length > MAX_CHILDREN) {
      throw invalid('/runs', `a run may start ${MAX_CHILDREN} children; this one has started ${all}`);
    }
    const children = await this.#decided(scope, tx, held, input);
    const started = await this.family.start(scope, tx, runId, children);
    if (started.length < children.length) {
      throw notFound('agent');
    }
    if (input.batch_id !== undefined) {
      await this.family.keepBatch(scope, tx, runId, {
        id: input.batch_id,
        digest,
        childIds: started.map(({ id }) => id),
      });
    }
    return started;
  }

  /** A child has no more freedom than its parent: what the parent must ask a person for, it cannot have a child do. */
  async #decided(scope: WriteScope, tx: Tx, held: LockedRun, input: ChildrenInput): Promise<NewChild[]> {
    const children: NewChild[] = [];
    for (const run of input.runs) {
      const agent = await this.agents.resolve(tx, scope, run);
      const config = resolveRunConfig(
        { agentId: agent.id, agentDefault: agent.default_run_config, task: null, taskModel: null },
        run.run_config,
      );
      children.push({
        id: newId(),
        agentId: agent.id,
        payload: run.payload,
        runConfig: {
          ...config,
          ask_question: config.ask_question && held.askQuestion,
          auto_execute: config.auto_execute && held.autoExecute,
        },
        priority: run.priority ?? null,
      });
    }
    return children;
  }

  /** Looks at the children after the wait began, so that one that ended just before is not waited for. */
  async #wait(scope: WriteScope, tx: Tx, runId: string, fence: Fence, started: readonly StartedChild[]): Promise<void> {
    const parked = await this.waits.park(scope, tx, runId, fence, {
      kind: 'children',
      value: { children: started.map(({ id }) => id) },
      dueInSeconds: null,
      assigneeId: null,
      events: [],
      release: { kind: 'children', result: { runs: started, waiting: true } },
    });
    if (parked === null) {
      throw leaseLost();
    }
    const { open } = await this.family.count(scope, tx, runId);
    if (open === 0) {
      await this.waits.resume(scope, tx, runId, 'children', { resume: sql`'{"children": true}'::jsonb`, events: [] });
    }
  }

  async #givenBefore(scope: WriteScope, runId: string, input: ChildrenInput): Promise<ChildrenReply | null> {
    if (!input.wait) {
      return null;
    }
    const given = await this.waits.answerGiven<ChildrenReply>(scope, runId, input.fence, 'children');
    return given === null ? null : { runs: given.runs, waiting: given.waiting };
  }

  #announce(organizationId: string, runIds: readonly string[]): void {
    for (const id of runIds) {
      this.bus.publish(streamTopic(id));
    }
    this.bus.publish(workTopic(organizationId));
  }
}
