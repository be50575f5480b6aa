import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { MemberEgress } from '../../../infrastructure/egress/egress.js';
import { notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { type AgentRow, AgentsService } from '../../agents/index.js';
import { SecretsService } from '../../secrets/index.js';
import { SchedulesService } from '../../schedules/index.js';
import { TaskMessagesService } from './task-messages.service.js';
import {
  agreedModel,
  assertCallback,
  assertMayRefer,
  assertTimesStart,
  defaultTitle,
  namedInBody,
  visibilityFor,
} from './task.rules.js';
import { type StoredDetail, TasksQuery } from '../queries/tasks.query.js';
import { type References, type ReferenceAccess, type TaskValues, TasksRepository } from '../tasks.repository.js';
import type { NewTask } from '../tasks.schema.js';

/** The desk where tasks are handed in. */
@Injectable()
export class CreateTaskService {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly repository: TasksRepository,
    private readonly query: TasksQuery,
    private readonly agents: AgentsService,
    private readonly secrets: SecretsService,
    private readonly schedules: SchedulesService,
    private readonly conversation: TaskMessagesService,
    private readonly egress: MemberEgress,
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
    const id = newId();
    await this.repository.insert(scope, tx, [{ id, ...(await this.decide(tx, scope, input)) }]);
    if (input.schedule !== undefined) {
      await this.schedules.putForTask(tx, scope, id, input.schedule);
    }
    await this.conversation.say(tx, scope, id, [{ type: 'text', text: input.prompt }], {
      start: startsAtOnce(input),
      idempotencyKey,
      delay: input.delay,
      ttl: input.ttl,
    });
    return id;
  }

  /** What the task will be, with all it refers to looked up; changes nothing. @throws DomainError as `create` */
  async decide(tx: Tx, scope: WriteScope, input: NewTask, lookups = new TaskLookupCache()): Promise<TaskValues> {
    assertCallback(this.egress, input.callback);
    assertTimesStart(input, startsAtOnce(input));
    const model = agreedModel(input.model, input.run_config?.model);
    const agent = await this.#agent(scope, tx, input, lookups);
    const references = {
      teamId: input.team_id ?? null,
      projectId: input.project_id ?? null,
      accountId: input.account_id ?? null,
      artistAccountId: input.artist_account_id ?? null,
    };
    const standings = await lookups.standings.of(references, () => this.repository.standings(scope, tx, references));
    const { ownAccountId } = assertMayRefer(standings);
    const secretNames = input.secret_names ?? [];
    await lookups.secrets.of([agent.id, ...secretNames], () =>
      this.secrets.assertMayName(tx, scope, secretNames, agent.allowed_secret_names),
    );
    const { model: _model, ...runConfig } = input.run_config ?? {};
    return {
      ...references,
      title: input.title ?? defaultTitle(input.prompt),
      prompt: input.prompt,
      payload: input.payload,
      model: model ?? null,
      runConfig,
      agentId: agent.id,
      visibility: visibilityFor(input.visibility, references.teamId),
      accountId: input.account_id === undefined ? ownAccountId : input.account_id,
      isIsolated: input.is_isolated ?? false,
      callback: input.callback ?? null,
      secretNames,
      tags: input.tags ?? [],
      metadata: input.metadata ?? {},
      enabled: input.enabled ?? true,
      maxAttempts: input.max_attempts ?? null,
      priority: input.priority ?? 0,
      concurrencyKey: input.concurrency_key ?? null,
    };
  }

  async #agent(scope: WriteScope, tx: Tx, input: NewTask, lookups: TaskLookupCache): Promise<AgentRow> {
    const { run_config: config = {}, agent, agent_id } = input;
    await lookups.runConfigs.of([config.agent_id, config.agent_ids], () =>
      this.agents.assertKnownAgents(tx, scope, config, '/run_config'),
    );
    return lookups.agents.of([agent, agent_id], () =>
      namedInBody(this.agents.resolve(tx, scope, input), input, 'not-found'),
    );
  }
}

/** A task with a schedule is run by it, any other at once, unless it says. */
export function startsAtOnce(input: NewTask): boolean {
  return input.start ?? input.schedule === undefined;
}

/** What making tasks in one transaction has looked up: a batch names the same agent a thousand times. */
export class TaskLookupCache {
  readonly agents = new Once<AgentRow>();
  readonly standings = new Once<ReferenceAccess | null, References>();
  readonly runConfigs = new Once<void>();
  readonly secrets = new Once<void>();
}

/** Answers of look-ups, refusals included, by what they were asked with. */
class Once<Answer, Question extends object = readonly unknown[]> {
  readonly #answers = new Map<string, Promise<Answer>>();

  of(question: Question, find: () => Promise<Answer>): Promise<Answer> {
    const key = JSON.stringify(question);
    const answer = this.#answers.get(key) ?? find();
    this.#answers.set(key, answer);
    return answer;
  }
}
