/**
 * Many tasks for the cost of a few. The whole batch, its results and the record of its Idempotency-Key are one transaction: a sender
 * who hears nothing sends it again and gets what was answered first, and no crash leaves a part.
 *
 * An item is refused alone: all that can be known is looked up before anything is written, so most refusals touch no row. What is
 * plain (no schedule, no settings of its first run) is then written by one statement a table. Should a row be refused all the same (a
 * budget that is used up half-way, an agent deleted this moment), the statements are undone and the items made one by one, each
 * undone alone.
 *
 * A thousand items take the only thread for a while, whether they are taken or refused. So a principal has few batches at once, what checking
 * them takes is charged to it like parsing, and others get the thread in between.
 */
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { toFailure } from '../../../http/filters/failure.js';
import { itemProblem } from '../../../http/filters/item-problem.js';
import { RefusedItem } from '../../../http/body/json/json-items.js';
import { ParsingBudget } from '../../../http/body/json/parsing-budget.js';
import { inputRefusal } from '../../../http/pipes/validation.pipe.js';
import { DomainError } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { KeyedLimiter } from '../../../kernel/concurrency/keyed-limiter.js';
import { MessagesService } from '../../messages/index.js';
import { RunBatchService } from '../../runs/index.js';
import type { NewTaskBatch, TaskBatch, TaskBatchResult } from './task-batch.schema.js';
import { startsAtOnce, CreateTaskService, TaskLookupCache } from './create-task.service.js';
import { type TaskValues, TasksRepository } from '../tasks.repository.js';
import { type NewTask, newTask } from '../tasks.schema.js';

/** What a row of `tasks` and a run with nothing of its own say. An item that says more takes the long way. */
const PLAIN: ReadonlySet<string> = new Set<keyof NewTask>([
  'agent',
  'agent_id',
  'title',
  'prompt',
  'payload',
  'model',
  'run_config',
  'project_id',
  'team_id',
  'visibility',
  'account_id',
  'artist_account_id',
  'is_isolated',
  'secret_names',
  'callback',
  'tags',
  'metadata',
  'enabled',
  'start',
  'priority',
  'max_attempts',
]);

/** Items that are decided before others get the thread. */
const ITEMS_AT_A_TIME = 50;

interface Item {
  index: number;
  input: NewTask;
}

interface PlainItem extends Item {
  task: TaskValues & { id: string };
}

@Injectable()
export class BatchCreateTasksService {
  readonly #turns = new KeyedLimiter(
    { concurrent: 2, waiting: 32 },
    'Too many of your batches are under way; wait for some of them before you send more.',
  );

  constructor(
    private readonly idempotency: Idempotency,
    private readonly creation: CreateTaskService,
    private readonly repository: TasksRepository,
    private readonly runs: RunBatchService,
    private readonly messages: MessagesService,
    private readonly budget: ParsingBudget,
  ) {}

  /** Makes each task that can be made; what is wrong with the others is in their results. @throws DomainError `forbidden`, `rate-limited` */
  async create(actor: Actor, batch: NewTaskBatch, ticket: IdempotencyTicket | null): Promise<Outcome<TaskBatch>> {
    const scope = writeScope(actor, 'task:create');
    return this.#turns.run(actor.principalId, () => this.#create(scope, batch, ticket));
  }

  async #create(
    scope: WriteScope,
    { tasks }: NewTaskBatch,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<TaskBatch>> {
    const checked = this.budget.charge(scope.actor.principalId, () => tasks.map(check));
    return this.idempotency.run(scope, ticket, async (tx) => {
      const batch = new Batch(tasks.length);
      const lookups = new TaskLookupCache();
      const plain: PlainItem[] = [];
      const others: Item[] = [];
      for (const [index, inputOrRefusal] of checked.entries()) {
        if (index % ITEMS_AT_A_TIME === 0) {
          await letOthersRun();
        }
        await batch.settle(index, async () => {
          if (inputOrRefusal instanceof DomainError) {
            throw inputOrRefusal;
          }
          const item = { index, input: inputOrRefusal };
          // Decided for all, so that what is refused is refused before anything is written.
          const values = await this.creation.decide(tx, scope, item.input, lookups);
          if (isPlain(item.input)) {
            plain.push({ ...item, task: { id: newId(), ...values } });
          } else {
            others.push(item);
          }
          return null;
        });
      }
      const idempotencyKey = ticket?.key;
      others.push(...(await this.#insert(tx, scope, batch, plain, idempotencyKey)));
      for (const { index, input } of others) {
        await batch.settle(index, () => tx.attempt(() => this.creation.createIn(tx, scope, input, idempotencyKey)));
      }
      return { results: batch.results };
    });
  }

  /** Inserts all of the items, and answers none; or none, and answers all. */
  async #insert(
    tx: Tx,
    scope: WriteScope,
    batch: Batch,
    items: readonly PlainItem[],
    idempotencyKey: string | undefined,
  ): Promise<readonly Item[]> {
    if (items.length === 0) {
      return [];
    }
    try {
      await tx.attempt(async () => {
        await this.repository.insert(
          scope,
          tx,
          items.map(({ task }) => task),
        );
        const starting = items.filter(({ input }) => startsAtOnce(input)).map(({ task }) => task.id);
        const options = { batchId: newId(), idempotencyKey: idempotencyKey ?? null };
        const runs = await this.runs.createFirstRuns(tx, scope, starting, options);
        const { creatorId: createdBy } = scope.actor;
        await this.messages.appendPrompts(
          tx,
          scope,
          items.map(({ task: { id, prompt } }) => ({
            taskId: id,
            runId: runs.get(id) ?? null,
            text: prompt,
            createdBy,
          })),
        );
      });
    } catch (error) {
      assertRefusal(error);
      return items;
    }
    for (const { index, task } of items) {
      batch.made(index, task.id);
    }
    return [];
  }
}

/** The results, as they come in. */
class Batch {
  readonly #results: TaskBatchResult[];

  constructor(size: number) {
    this.#results = Array.from({ length: size }, () => ({ status: 500 }));
  }

  get results(): TaskBatchResult[] {
    return this.#results;
  }

  made(index: number, taskId: string): void {
    this.#results[index] = { status: 201, task_id: taskId };
  }

  /** Runs `work`; the id it answers, or what it is refused for, is the item's result. */
  async settle(index: number, work: () => Promise<string | null>): Promise<void> {
    try {
      const taskId = await work();
      if (taskId !== null) {
        this.made(index, taskId);
      }
    } catch (error) {
      assertRefusal(error);
      const failure = toFailure(error);
      this.#results[index] = { status: failure.status, error: itemProblem(failure, `/tasks/${index}`) };
    }
  }
}

function check(given: unknown): NewTask | DomainError {
  if (given instanceof RefusedItem) {
    return given.refusal;
  }
  const result = newTask.safeParse(given);
  return result.success ? result.data : inputRefusal(result.error.issues, newTask);
}

function isPlain(input: NewTask): boolean {
  return Object.keys(input).every((name) => PLAIN.has(name));
}

/** A refusal is an item's own. Whatever else goes wrong is the request's, of which then nothing has happened. */
function assertRefusal(error: unknown): asserts error is DomainError {
  if (!(error instanceof DomainError) || error.fault === 'outside' || error.fault === 'ours') {
    throw error;
  }
}
