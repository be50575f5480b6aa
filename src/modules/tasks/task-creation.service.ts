import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../access/index.js';
import type { Tx } from '../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../database/idempotency.js';
import { notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import { AgentsService } from '../agents/index.js';
import { SchedulesService } from '../schedules/index.js';
import { TaskConversation } from './task-conversation.service.js';
import {
  agreedModel,
  assertMayRefer,
  assertNoSecrets,
  defaultTitle,
  namedInBody,
  visibilityFor,
} from './task.rules.js';
import { type StoredDetail, TasksQuery } from './tasks.query.js';
import { TasksRepository } from './tasks.repository.js';
import type { NewTask } from './tasks.schema.js';

/** The desk where tasks are handed in. */
@Injectable()
export class TaskCreation {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly repository: TasksRepository,
    private readonly query: TasksQuery,
    private readonly agents: AgentsService,
    private readonly schedules: SchedulesService,
    private readonly conversation: TaskConversation,
  ) {}

  /**
   * Makes the task with its schedule, its prompt as the first message, and its first run, in one transaction: there is never one
   * without the others. What an Idempotency-Key keeps is the detail as it was, without links; links are signed when it is shown.
   *
   * @throws DomainError `invalid-request`, `not-available`, `forbidden` (a team or project one may see but not work in)
   */
  async create(actor: Actor, input: NewTask, ticket: IdempotencyTicket | null): Promise<Outcome<StoredDetail>> {
    const scope = writeScope(actor, 'task:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const id = await this.createIn(tx, scope, input, ticket?.key);
      const detail = await this.query.detail(scope, id, tx);
      if (detail === null) {
        throw notFound('task');
      }
      return detail;
    });
  }

  /**
   * The same within a transaction of the caller's, for surfaces that keep a reply of their own under the Idempotency-Key. Answers
   * the task's id. @throws DomainError as `create`
   */
  async createIn(tx: Tx, scope: WriteScope, input: NewTask, idempotencyKey: string | undefined): Promise<string> {
    assertNoSecrets(input.secret_names);
    const model = agreedModel(input.model, input.run_config?.model);
    const id = newId();
    await this.#insert(scope, tx, id, input, model ?? null);
    if (input.schedule !== undefined) {
      await this.schedules.putForTask(tx, scope, id, input.schedule);
    }
    const start = input.start ?? input.schedule === undefined;
    await this.conversation.say(tx, scope, id, [{ type: 'text', text: input.prompt }], { start, idempotencyKey });
    return id;
  }

  async #insert(scope: WriteScope, tx: Tx, id: string, input: NewTask, model: string | null): Promise<void> {
    const agent = await this.#agent(scope, tx, input);
    const references = {
      teamId: input.team_id ?? null,
      projectId: input.project_id ?? null,
      accountId: input.account_id ?? null,
      artistAccountId: input.artist_account_id ?? null,
    };
    const { ownAccountId } = assertMayRefer(await this.repository.standings(scope, tx, references));
    const { model: _model, ...runConfig } = input.run_config ?? {};
    await this.repository.insert(scope, tx, id, {
      ...references,
      title: input.title ?? defaultTitle(input.prompt),
      prompt: input.prompt,
      payload: input.payload,
      model,
      runConfig,
      agentId: agent.id,
      visibility: visibilityFor(input.visibility, references.teamId),
      accountId: input.account_id === undefined ? ownAccountId : input.account_id,
      isIsolated: input.is_isolated ?? false,
      tags: input.tags ?? [],
      metadata: input.metadata ?? {},
      enabled: input.enabled ?? true,
      maxAttempts: input.max_attempts ?? null,
      priority: input.priority ?? 0,
    });
  }

  async #agent(scope: WriteScope, tx: Tx, input: NewTask): Promise<{ id: string }> {
    await this.agents.assertKnownAgents(tx, scope, input.run_config ?? {}, '/run_config');
    return namedInBody(this.agents.resolve(tx, scope, input), input);
  }
}
