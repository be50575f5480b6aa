/**
 * The worker protocol, for workers over HTTP and for the one inside this process alike. `leases.ts` says what it promises.
 */
import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { violatedConstraint } from '../../../database/sql-errors.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { canonicalJson } from '../../../kernel/canonical-json.js';
import { DomainError, invalid } from '../../../kernel/errors.js';
import { BatchExecutor } from '../../../kernel/concurrency/batch-executor.js';
import { MessagesService } from '../../messages/index.js';
import { EventAppendBatcher } from './event-append-batcher.js';
import { ChildrenService } from '../children/children.service.js';
import { leaseLost, parseFence, plainFence, type Fence } from '../core/leases.js';
import { type ApprovalCall, QuestionsService } from '../interaction/questions.service.js';
import { cleanBatchId, cleanError, cleanEvents, WorkerTextRedactor } from './worker-text-redactor.js';
import { type ClaimedWork, ClaimBatcher } from './claim-batcher.js';
import {
  anonymousWorker,
  WorkerRepository,
  type Appended,
  type BatchUsage,
  type EndedRun,
  type Ending,
  type LeasedEnding,
} from './worker.repository.js';
import { WaitingClaims } from './waiting-claims.js';
import { WorkerHeartbeats } from './worker-heartbeats.js';
import { hasSplitCharacter, joinSplitCharacters } from './split-characters.js';
import type { ClaimInput, CompleteInput, EventsInput, EventsReply, FailInput, WorkerEvent } from './worker.schema.js';

export interface EndReply {
  id: string;
  status: 'completed' | 'failed' | 'canceled' | 'queued';
}

/** Longest pause between looks while a claim waits: losing a hint costs this much latency, no more. */
const POLL_INTERVAL_MS = 1_000;
/** Kinds of endings that may end a run as canceled: two of them mean the same. */
const CANCELING: readonly string[] = ['canceled', 'release'];
/** All workers of a key that do not say who they are. */
const UNNAMED_WORKER = 'unnamed';
/** Endings of one statement; and their outputs together, in characters. */
const MAX_ENDINGS = 100;
const MAX_ENDING_LENGTH = 1_048_576;

@Injectable()
export class WorkerService {
  readonly #draining = new AbortController();
  /** Endings of one key that arrive together are one commit. */
  readonly #endings = new BatchExecutor<WriteScope, LeasedEnding, EndedRun | null>(
    (scope, endings) => this.repository.end(scope, endings),
    { most: MAX_ENDINGS, mostWeight: MAX_ENDING_LENGTH, weigh: lengthOf, flights: 2 },
  );

  constructor(
    private readonly repository: WorkerRepository,
    private readonly gatherer: EventAppendBatcher,
    private readonly claims: ClaimBatcher,
    private readonly messages: MessagesService,
    private readonly database: Database,
    private readonly bus: EventBus,
    private readonly sightings: WorkerHeartbeats,
    private readonly questions: QuestionsService,
    private readonly children: ChildrenService,
    private readonly said: WorkerTextRedactor,
    private readonly waiting: WaitingClaims,
  ) {}

  /** Waiting claims are answered with none from now on, so that a stop need not wait for them. */
  beforeApplicationShutdown(): void {
    this.#draining.abort();
  }

  /**
   * Leases due runs to the caller, waiting for some if asked to. Waiting holds neither connection nor transaction.
   * @throws DomainError `invalid-request` for an agent that is not there or not this key's to run, `limit-reached` where there is nothing, and
   *   too many claims wait already
   */
  async claim(actor: Actor, input: ClaimInput, gone: AbortSignal): Promise<{ runs: ClaimedWork[] }> {
    const scope = writeScope(actor, 'worker:act');
    const signal = AbortSignal.any([gone, this.#draining.signal]);
    const workerId = input.worker_id ?? anonymousWorker();
    const until = performance.now() + input.wait_seconds * 1000;
    let leave: (() => void) | null = null;
    try {
      while (!signal.aborted) {
        const { runs, agentIds } = await this.claims.take(scope, input.agents, { workerId, most: input.max });
        await this.sightings.note(scope, agentIds, input.worker_id ?? UNNAMED_WORKER, runs.length > 0);
        if (runs.length > 0) {
          return { runs };
        }
        const leftMs = until - performance.now();
        if (leftMs <= 0) {
          break;
        }
        leave ??= this.waiting.enter(actor);
        await this.bus.wait(workTopic(scope.organizationId), Math.min(leftMs, POLL_INTERVAL_MS), signal);
      }
    } finally {
      leave?.();
    }
    await this.database.assertLive(scope);
    return { runs: [] };
  }

  /** @throws DomainError `lease-lost` */
  async heartbeat(
    actor: Actor,
    runId: string,
    fenceText: string,
  ): Promise<{ expires_in_seconds: number; cancel_requested: boolean }> {
    const scope = writeScope(actor, 'worker:act');
    const beat = await this.repository.heartbeat(scope, runId, parseFence(fenceText));
    if (beat === null) {
      return this.#lost(scope);
    }
    return { expires_in_seconds: beat.expiresInSeconds, cancel_requested: beat.cancelRequested };
  }

  /**
   * Appends a batch, whole or not at all. A batch id sent before under this fence gets its own first answer, even after the lease. That is
   * looked for only where the append is refused: batches are sent again seldom, and each would pay for the look.
   * @throws DomainError `lease-lost`, `batch-mismatch`
   */
  async append(actor: Actor, runId: string, input: EventsInput): Promise<EventsReply> {
    const scope = writeScope(actor, 'worker:act');
    const fence = parseFence(input.fence);
    const redactor = await this.said.redactorOf(scope, runId, fence);
    const events = cleanEvents(redactor, input.events);
    const batchId = cleanBatchId(redactor, input.batch_id);
    const call = approvalCall(events);
    const eventsJson = JSON.stringify(events);
    const digest = batchId === undefined ? null : digestOf(JSON.stringify(canonicalJson(events)));
    const isSame = (stored: Buffer): boolean =>
      // Earlier versions kept a digest of the text as it was sent.
      digest?.equals(stored) === true || digestOf(eventsJson).equals(stored);
    const batch = {
      eventsJson,
      count: events.length,
      fence: fence.counter,
      batchId: batchId ?? null,
      batchDigest: digest,
      logLines: logLines(events),
      usage: usageOf(events),
    };
    const said = events.filter((event) => event.type === 'message');
    const isSplit = hasSplitCharacter(events);
    try {
      const appended =
        said.length === 0 && call === null && !isSplit
          ? neverWaiting(await this.gatherer.append(scope, { runId, fence, batch }))
          : await this.database.transaction(async (tx) => {
              const waiting = call !== null && (await this.questions.needsApproval(tx, scope, runId, fence));
              const eventsToStore = isSplit
                ? await this.#withWholeCharacters(tx, scope, runId, fence, events)
                : eventsJson;
              const result = await this.repository.append(
                scope,
                runId,
                fence,
                { ...batch, eventsJson: eventsToStore },
                tx,
              );
              if (result !== null) {
                await this.#keepMessages(tx, scope, result.taskId, runId, said);
              }
              if (result !== null && call !== null && waiting) {
                await this.questions.parkForApproval(tx, scope, runId, fence, call);
              }
              return result === null ? null : { ...result, waiting };
            });
      if (appended === null) {
        // Its lease may have ended with this very batch, sent by somebody faster.
        return (await this.#prior(scope, runId, fence, batchId, isSame, call)) ?? (await this.#lost(scope));
      }
      this.bus.publish(streamTopic(runId));
      return eventsReply(appended, appended.waiting);
    } catch (error) {
      // Sent before, or by somebody faster just now.
      const answered =
        violatedConstraint(error) === 'run_events_batch'
          ? await this.#prior(scope, runId, fence, batchId, isSame, call)
          : null;
      if (answered !== null) {
        return answered;
      }
      throw error;
    }
  }

  /** The events as JSON, characters that were cut between deltas joined. Where the lease is not held, the append will say so. */
  async #withWholeCharacters(
    tx: Tx,
    scope: WriteScope,
    runId: string,
    fence: Fence,
    events: readonly WorkerEvent[],
  ): Promise<string> {
    const before = (await this.repository.lockSplitCharacters(scope, runId, fence, tx)) ?? {};
    const { events: whole, waiting } = joinSplitCharacters(events, before);
    await this.repository.putSplitCharacters(scope, runId, fence, waiting, tx);
    return JSON.stringify(whole);
  }

  /** Called inside the transaction that inserts an asset of the run: the event and the row stand or fall together. */
  async appendAsset(
    tx: Tx,
    scope: WriteScope,
    runId: string,
    fenceText: string,
    asset: { id: string; name: string; type: string; status: string },
  ): Promise<void> {
    if (!(await this.repository.appendAsset(scope, runId, parseFence(fenceText), asset, tx))) {
      await tx.assertLive(scope);
      throw leaseLost();
    }
    tx.afterCommit(() => this.bus.publish(streamTopic(runId)));
  }

  /** @throws DomainError `lease-lost` */
  async complete(actor: Actor, runId: string, input: CompleteInput): Promise<EndReply> {
    const redactor = await this.said.redactorOf(writeScope(actor, 'worker:act'), runId, parseFence(input.fence));
    return this.#end(actor, runId, input.fence, {
      status: 'completed',
      kind: 'complete',
      output: redactor.json(input.output),
      error: null,
      costInCents: input.cost_in_cents ?? 0,
    });
  }

  /**
   * Closes the attempt as failed. The run is tried again after its back-off while it has attempts left, unless the worker says that it
   * would be no use; then, or where they are spent or its cancel was asked for, it ends as failed. @throws DomainError `lease-lost`
   */
  async fail(actor: Actor, runId: string, input: FailInput): Promise<EndReply> {
    const scope = writeScope(actor, 'worker:act');
    const fence = parseFence(input.fence);
    const error = cleanError(await this.said.redactorOf(scope, runId, fence), input.error);
    if (input.retry !== false) {
      if ((await this.repository.retry(scope, runId, fence, error)) !== null) {
        this.bus.publish(streamTopic(runId));
        return { id: runId, status: 'queued' };
      }
    }
    return this.#end(actor, runId, input.fence, {
      status: 'failed',
      kind: 'fail',
      output: null,
      error,
      costInCents: 0,
    });
  }

  /** The worker stopped because it was asked to. @throws DomainError `lease-lost`, `conflict` where nobody asked */
  async canceled(actor: Actor, runId: string, fenceText: string): Promise<EndReply> {
    return this.#end(actor, runId, fenceText, {
      status: 'canceled',
      kind: 'canceled',
      output: null,
      error: null,
      costInCents: 0,
    });
  }

  /**
   * Hands the run back to the queue without spending an attempt. One whose cancel was asked for is ended instead: the queue would
   * only hand it to the next worker to be told the same.
   * @throws DomainError `lease-lost`
   */
  async release(actor: Actor, runId: string, fenceText: string): Promise<EndReply> {
    const scope = writeScope(actor, 'worker:act');
    const released = await this.repository.release(scope, runId, parseFence(fenceText));
    if (released === null) {
      return this.#end(actor, runId, fenceText, {
        status: 'canceled',
        kind: 'release',
        output: null,
        error: null,
        costInCents: 0,
      });
    }
    this.bus.publish(streamTopic(runId));
    this.bus.publish(workTopic(scope.organizationId));
    return { id: runId, status: 'queued' };
  }

  async #end(actor: Actor, runId: string, fenceText: string, ending: Ending): Promise<EndReply> {
    const scope = writeScope(actor, 'worker:act');
    const { organizationId, principalId, epoch } = scope.actor;
    const leased = { ...ending, runId, fence: parseFence(fenceText) };
    const ended = await this.#endings.add(`${organizationId} ${principalId} ${epoch}`, scope, leased);
    if (ended === null) {
      return this.#answerAgain(scope, runId, fenceText, ending.kind, ending.status);
    }
    this.bus.publish(streamTopic(runId));
    if (ending.status === 'canceled') {
      await this.children.cancelDescendants(scope, runId, false);
    }
    if (ended.parentRunId !== null) {
      // Perhaps the last child that its parent waited for.
      this.bus.publish(streamTopic(ended.parentRunId));
      this.bus.publish(workTopic(scope.organizationId));
    }
    return { id: runId, status: ending.status };
  }

  /** The same fence and kind again: the answer it got before, and so for `canceled` after a release that ended the run. Anything else: lost. */
  async #answerAgain(
    scope: WriteScope,
    runId: string,
    fenceText: string,
    kind: string,
    status: EndReply['status'],
  ): Promise<EndReply> {
    const release = await this.repository.lastRelease(scope, runId);
    const isCanceledTwice = CANCELING.includes(kind) && release?.result?.status === 'canceled';
    if (release?.fence === plainFence(fenceText) && (release.kind === kind || isCanceledTwice)) {
      return { id: runId, status: release.result?.status ?? status };
    }
    if (kind === 'canceled' && (await this.repository.heartbeat(scope, runId, parseFence(fenceText))) !== null) {
      throw new DomainError('conflict', 'Nobody asked for this run to be canceled; end it with complete or fail.');
    }
    return this.#lost(scope);
  }

  async #lost(scope: WriteScope): Promise<never> {
    await this.database.assertLive(scope);
    throw leaseLost();
  }

  async #prior(
    scope: WriteScope,
    runId: string,
    fence: Fence,
    batchId: string | undefined,
    isSame: (digest: Buffer) => boolean,
    call: ApprovalCall | null,
  ): Promise<EventsReply | null> {
    const prior = batchId === undefined ? null : await this.repository.prior(scope, runId, fence, batchId);
    if (prior === null) {
      return null;
    }
    if (!isSame(prior.digest)) {
      throw new DomainError('batch-mismatch', 'This batch_id was used for other events; use a new one.');
    }
    return eventsReply(prior, call !== null && !prior.autoExecute);
  }

  async #keepMessages(
    tx: Tx,
    scope: WriteScope,
    taskId: string,
    runId: string,
    said: readonly Extract<WorkerEvent, { type: 'message' }>[],
  ): Promise<void> {
    for (const { data } of said) {
      await this.messages.append(tx, scope, {
        taskId,
        runId,
        role: data.role,
        parts: data.parts,
        externalId: data.id ?? null,
      });
    }
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function lengthOf({ output, error }: LeasedEnding): number {
  return JSON.stringify([output, error]).length;
}

/** The call of a batch that is not to be made before somebody approves it. @throws DomainError `invalid-request` for two of them */
function approvalCall(events: readonly WorkerEvent[]): ApprovalCall | null {
  const calls = events.flatMap((event, index) =>
    event.type === 'tool_call' && event.data.requires_approval === true ? [{ call: event.data, index }] : [],
  );
  const [first, second] = calls;
  if (second !== undefined) {
    throw invalid(`/events/${second.index}/data/requires_approval`, 'only one call of a batch may require approval');
  }
  return first?.call ?? null;
}

function eventsReply(
  { lastSeq, cancelRequested }: { lastSeq: number; cancelRequested: boolean },
  waiting: boolean,
): EventsReply {
  return { last_seq: lastSeq, cancel_requested: cancelRequested, ...(waiting ? { waiting } : {}) };
}

function neverWaiting(appended: Appended | null): (Appended & { waiting: boolean }) | null {
  return appended === null ? null : { ...appended, waiting: false };
}

function usageOf(events: readonly WorkerEvent[]): BatchUsage {
  const usage: BatchUsage = { costInCents: 0, inputTokens: 0, outputTokens: 0 };
  for (const event of events) {
    if (event.type === 'usage') {
      usage.costInCents += event.data.cost_in_cents ?? 0;
      usage.inputTokens += event.data.input_tokens ?? 0;
      usage.outputTokens += event.data.output_tokens ?? 0;
    }
  }
  return usage;
}

function logLines(events: readonly WorkerEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'log' ? [event.data.text] : []));
}
