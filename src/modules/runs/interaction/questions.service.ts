/**
 * A person in the loop: a worker asks, or wants a tool call approved; the run waits without a lease; whoever may answers; any worker
 * goes on with what was said. `waits.repository.ts` says how answers, cancels and timeouts race.
 */
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, unsafelySystemScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { jsonb, sql } from '../../../database/sql.js';
import { EventBus, streamTopic, workTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError, forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { Log } from '../../../kernel/log.js';
import { type Message, type MessagePart, MessagesService } from '../../messages/index.js';
import { leaseLost, parseFence, type Fence } from '../core/leases.js';
import { assertNoCancel, assertOption, notWaiting, openQuestion } from './open-question.js';
import type { AnswerInput, AskInput, AskReply, DecisionInput } from './interaction.schema.js';
import { RunsQuery, type RunView } from '../views/runs.query.js';
import { cleanQuestion, WorkerTextRedactor } from '../worker/worker-text-redactor.js';
import { WaitsRepository } from './waits.repository.js';
import type { WorkerEvent } from '../worker/worker.schema.js';

/** Questions a sweep answers or fails at most; the next one follows at once while there are more. */
const MAX_OVERDUE = 200;

/** A tool call that is not made before somebody approves it. */
export type ApprovalCall = Extract<WorkerEvent, { type: 'tool_call' }>['data'];

@Injectable()
export class QuestionsService {
  constructor(
    private readonly waits: WaitsRepository,
    private readonly query: RunsQuery,
    private readonly messages: MessagesService,
    private readonly database: Database,
    private readonly bus: EventBus,
    private readonly log: Log,
    private readonly said: WorkerTextRedactor,
  ) {}

  /**
   * Lets the run wait for an answer; the lease ends. The same request again gets the same answer.
   * @throws DomainError `lease-lost`, `asking-not-allowed`, `conflict` where a cancel was asked for, `invalid-request` for no such user
   */
  async ask(actor: Actor, runId: string, given: AskInput): Promise<AskReply> {
    const scope = writeScope(actor, 'worker:act');
    const fence = parseFence(given.fence);
    const input = cleanQuestion(await this.said.redactorOf(scope, runId, fence), given);
    const asked = await this.database.transaction(async (tx) => {
      const held = await this.waits.lockHeld(scope, tx, runId, fence);
      if (held === null) {
        return null;
      }
      if (!held.askQuestion) {
        throw new DomainError(
          'asking-not-allowed',
          'This run may not ask: its run_config says ask_question false. Go on without an answer, or fail.',
        );
      }
      assertNoCancel(held.cancelRequested);
      const assigneeId = input.assignee_id ?? null;
      if (assigneeId !== null && !(await this.waits.isUser(scope, tx, assigneeId))) {
        throw invalid('/assignee_id', 'There is no such user.');
      }
      const id = newId();
      const { question, options = null, default: fallback = null } = input;
      const reply = { id: runId, status: 'waiting' as const, question_id: id };
      const parked = await this.waits.park(scope, tx, runId, fence, {
        kind: 'question',
        value: { id, question, options, default: fallback },
        dueInSeconds: input.timeout_seconds ?? null,
        assigneeId,
        events: [{ type: 'question', data: sql`s.wait || jsonb_build_object('due_at', iso_utc(s.wait_due_at))` }],
        release: { kind: 'ask', result: reply },
      });
      if (parked === null) {
        throw leaseLost();
      }
      await this.messages.append(tx, scope, {
        taskId: held.taskId,
        runId,
        role: 'assistant',
        parts: [
          { type: 'text', text: question },
          ...(options === null ? [] : [{ type: 'data' as const, data: { options } }]),
        ],
      });
      return { ...reply, due_at: parked.dueAt };
    });
    if (asked === null) {
      return this.#askedBefore(scope, runId, given.fence);
    }
    this.bus.publish(streamTopic(runId));
    return asked;
  }

  /**
   * True where the run on this lease must not make a tool call before somebody approves it; false where it may, and where the lease
   * is not held. Locks the task and the run: it comes first in the transaction that appends the call.
   * @throws DomainError `conflict` where a cancel was asked for: it must not go on with the call, and nobody is to decide on it
   */
  async needsApproval(tx: Tx, scope: WriteScope, runId: string, fence: Fence): Promise<boolean> {
    const held = await this.waits.lockHeld(scope, tx, runId, fence);
    if (held === null || held.autoExecute) {
      return false;
    }
    assertNoCancel(held.cancelRequested);
    return true;
  }

  /** Inside the transaction that appended the call's event, its run locked: lets the run wait for a decision. */
  async parkForApproval(tx: Tx, scope: WriteScope, runId: string, fence: Fence, call: ApprovalCall): Promise<void> {
    const parked = await this.waits.park(scope, tx, runId, fence, {
      kind: 'approval',
      value: { call_id: call.id, name: call.name, input: call.input ?? null },
      dueInSeconds: null,
      assigneeId: null,
      events: [],
      release: { kind: 'approval', result: {} },
    });
    if (parked === null) {
      throw leaseLost();
    }
  }

  /**
   * Answers the open question of a run, for whoever may contribute to its task, or was asked.
   * @throws DomainError `not-found`, `forbidden`, `not-waiting`, `run-ended`, `invalid-request` for what is no option
   */
  async answer(actor: Actor, runId: string, input: AnswerInput): Promise<RunView> {
    const scope = writeScope(actor, 'run:contribute');
    return this.database.write(scope, async (tx) => {
      await this.answerIn(tx, scope, runId, partsOf(input), input.question_id ?? null);
      return this.#shown(scope, tx, runId);
    });
  }

  /** The same inside the caller's transaction; the message that it became. */
  async answerIn(
    tx: Tx,
    scope: WriteScope,
    runId: string,
    parts: readonly MessagePart[],
    questionId: string | null,
  ): Promise<Message> {
    const task = await this.waits.lockReadable(scope, tx, runId);
    const run = task === null ? null : await this.waits.find(scope, tx, runId);
    if (task === null || run === null) {
      throw notFound('run');
    }
    const question = openQuestion(run);
    const wasAsked =
      question !== null && run.assigneeId !== null && run.assigneeId === scope.actingUserId && scope.canWrite;
    if (!task.mayContribute && !wasAsked) {
      throw forbidden();
    }
    if (question === null || run.isOverdue || (questionId !== null && questionId !== question.id)) {
      throw notWaiting(run, 'an answer to this question');
    }
    assertOption(question.options, parts);
    return this.#end(tx, scope, runId, run.taskId, parts, scope.actor.creatorId);
  }

  /** Answers the question that a run of the locked task asked last; null where none is open for this actor. */
  async answerLastOf(
    tx: Tx,
    scope: WriteScope,
    taskId: string,
    mayContribute: boolean,
    parts: readonly MessagePart[],
  ): Promise<Message | null> {
    const assigneeId = mayContribute ? null : scope.actingUserId;
    if (!mayContribute && assigneeId === null) {
      return null;
    }
    const runId = await this.waits.lastAsked(scope, tx, taskId, assigneeId);
    return runId === null ? null : this.answerIn(tx, scope, runId, parts, null);
  }

  /**
   * Approves or declines the tool call that a run waits with.
   * @throws DomainError `not-found`, `forbidden`, `not-waiting`, `run-ended`
   */
  async decide(actor: Actor, runId: string, callId: string, input: DecisionInput): Promise<RunView> {
    const scope = writeScope(actor, 'run:contribute');
    return this.database.write(scope, async (tx) => {
      const task = await this.waits.lockReadable(scope, tx, runId);
      const found = task === null ? null : await this.waits.find(scope, tx, runId);
      if (task === null || found === null) {
        throw notFound('run');
      }
      if (!task.mayContribute) {
        throw forbidden();
      }
      if (found.waitKind !== 'approval' || found.value?.['call_id'] !== callId) {
        throw notWaiting(found, 'a decision on this call');
      }
      const approval = {
        call_id: callId,
        decision: input.decision,
        reason: input.reason ?? null,
        by: scope.actor.creatorId,
      };
      await this.waits.resume(scope, tx, runId, 'approval', {
        resume: jsonb({ approval }),
        events: [
          {
            type: 'answer',
            data: sql`jsonb_build_object('question_id', s.resume -> 'approval' -> 'call_id', 'parts', '[]'::jsonb) || (s.resume -> 'approval')`,
          },
        ],
      });
      tx.afterCommit(() => this.#announce(scope.organizationId, runId));
      return this.#shown(scope, tx, runId);
    });
  }

  /** Answers overdue questions with their default, and fails those that have none; how many. Any replica may, at any time. */
  async sweep(): Promise<number> {
    const overdue = await this.waits.overdue(MAX_OVERDUE);
    let ended = 0;
    for (const { organizationId, id } of overdue) {
      const scope = unsafelySystemScope(organizationId, 'a question ran out of time');
      const isOver = await this.database.transaction((tx) => this.#timeOut(tx, scope, id));
      if (isOver) {
        ended += 1;
        this.log.info('question ran out of time', { run_id: id, organization_id: organizationId });
      }
    }
    return ended;
  }

  async #timeOut(tx: Tx, scope: WriteScope, runId: string): Promise<boolean> {
    const run = (await this.waits.lockUnlessBusy(scope, tx, runId)) ? await this.waits.find(scope, tx, runId) : null;
    const question = run === null ? null : openQuestion(run);
    if (run === null || question === null || !run.isOverdue) {
      return false;
    }
    if (question.default !== null) {
      await this.#end(tx, scope, runId, run.taskId, [{ type: 'text', text: question.default }], null);
      return true;
    }
    tx.afterCommit(() => this.#announce(scope.organizationId, runId));
    return this.waits.fail(scope, tx, runId, 'question', {
      name: 'QuestionTimedOut',
      message: 'Nobody answered the question in time, and it had no default.',
      stack_trace: null,
    });
  }

  async #end(
    tx: Tx,
    scope: WriteScope,
    runId: string,
    taskId: string,
    parts: readonly MessagePart[],
    by: string | null,
  ): Promise<Message> {
    const resumed = await this.waits.resume(scope, tx, runId, 'question', {
      resume: sql`jsonb_build_object('answer', jsonb_build_object('question_id', r.wait -> 'id', 'question', r.wait -> 'question',
        'parts', ${jsonb(parts)}, 'by', ${by}::uuid))`,
      events: [{ type: 'answer', data: sql`(s.resume -> 'answer') - 'question'` }],
    });
    if (!resumed) {
      throw new DomainError('not-waiting', 'This run does not wait for an answer.');
    }
    tx.afterCommit(() => this.#announce(scope.organizationId, runId));
    return this.messages.append(tx, scope, { taskId, runId, role: 'user', parts, createdBy: by });
  }

  /** The right to end its wait is the right to see what came of it: an assignee's path to the task closes with their answer. */
  async #shown(scope: WriteScope, tx: Tx, runId: string): Promise<RunView> {
    const run = await this.query.findOwn(scope, tx, runId);
    if (run === null) {
      throw notFound('run');
    }
    return run;
  }

  async #askedBefore(scope: WriteScope, runId: string, fenceText: string): Promise<AskReply> {
    const given = await this.waits.answerGiven<AskReply>(scope, runId, fenceText, 'ask');
    if (given === null) {
      await this.database.assertLive(scope);
      throw leaseLost();
    }
    return given;
  }

  #announce(organizationId: string, runId: string): void {
    this.bus.publish(streamTopic(runId));
    this.bus.publish(workTopic(organizationId));
  }
}

function partsOf({ parts, text }: AnswerInput): readonly MessagePart[] {
  return parts ?? [{ type: 'text', text: text ?? '' }];
}
