import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { forbidden, notFound } from '../../../kernel/errors.js';
import { type Message, type MessagePart, MessagesService } from '../../messages/index.js';
import { QuestionsService, RunsService } from '../../runs/index.js';
import { TasksRepository } from '../tasks.repository.js';
import type { NewTaskMessage } from '../tasks.schema.js';

/** What a person says to a task, and the run it answers or starts. */
@Injectable()
export class TaskMessagesService {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly repository: TasksRepository,
    private readonly runs: RunsService,
    private readonly messages: MessagesService,
    private readonly questions: QuestionsService,
  ) {}

  /**
   * Keeps the message, as the answer to the question that a run of the task asked last and still waits with; where there is none, starts a
   * run that has the message. One transaction.
   * @throws DomainError `not-found`, `forbidden`, `invalid-request` for what is none of the question's options
   */
  async post(
    actor: Actor,
    taskId: string,
    input: NewTaskMessage,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<Message>> {
    const scope = writeScope(actor, 'message:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const task = await this.repository.lock(scope, tx, taskId);
      if (task === null) {
        throw notFound('task');
      }
      const parts = input.parts ?? [{ type: 'text' as const, text: input.text ?? '' }];
      const answer = await this.questions.answerLastOf(tx, scope, taskId, task.mayContribute, parts);
      if (answer !== null) {
        return answer;
      }
      if (!task.mayContribute) {
        throw forbidden();
      }
      return this.say(tx, scope, taskId, parts, { start: true, idempotencyKey: ticket?.key });
    });
  }

  /** Adds a user message to the task inside the caller's transaction, with a run of its own where `start` says so. */
  async say(
    tx: Tx,
    scope: WriteScope,
    taskId: string,
    parts: readonly MessagePart[],
    options: {
      start: boolean;
      idempotencyKey: string | undefined;
      delay?: number | string | undefined;
      ttl?: number | string | undefined;
    },
  ): Promise<Message> {
    const { start, ...times } = options;
    const run = start ? await this.runs.createRun(tx, scope, { taskId, ...times }) : null;
    return this.messages.append(tx, scope, {
      taskId,
      runId: run?.id ?? null,
      role: 'user',
      parts,
      createdBy: scope.actor.creatorId,
    });
  }
}
