import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { HeavyReads } from '../../http/interceptors/heavy-reads.js';
import { CursorPaginator } from '../../http/pagination/cursor-paginator.js';
import { forbidden, notFound } from '../../kernel/errors.js';
import type { Page } from '../../kernel/page.js';
import { RunsService } from '../runs/index.js';
import { TaskPresenter } from './queries/task-presenter.js';
import { TasksQuery } from './queries/tasks.query.js';
import { type LockedTask, TasksRepository } from './tasks.repository.js';
import type { TaskListQuery } from './tasks.schema.js';
import type { TaskDetail, TaskItem } from './queries/task-view.schema.js';

/** Reading tasks, and ending them. */
@Injectable()
export class TasksService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly repository: TasksRepository,
    private readonly query: TasksQuery,
    private readonly presenter: TaskPresenter,
    private readonly runs: RunsService,
    private readonly heavyReads: HeavyReads,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'tasks');
  }

  /** The detail, in one round trip. @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<TaskDetail> {
    const stored = await this.query.detail(readScope(actor, 'task:read'), id);
    if (stored === null) {
      throw notFound('task');
    }
    return this.presenter.detail(actor, stored);
  }

  /** One page of the tasks the actor may read, in one round trip. @throws DomainError `invalid-cursor`, `rate-limited` */
  async list(actor: Actor, query: TaskListQuery): Promise<Page<TaskItem>> {
    const scope = readScope(actor, 'task:read');
    const page = this.#pages.open(scope, query);
    const read = (): ReturnType<TasksQuery['list']> => this.query.list(scope, query, page);
    // A search reads the texts of every task that the other filters leave.
    const rows = await (query.q === undefined ? read() : this.heavyReads.run(actor, read));
    const shown = rows.flatMap(({ item, at, id }) =>
      item === null ? [] : [{ item: this.presenter.item(item), at, id }],
    );
    const more = rows.slice(shown.length, shown.length + 1).map(({ at, id }) => ({ item: null, at, id }));
    const closed = this.#pages.close<TaskItem | null>(scope, query, { ...page, limit: shown.length }, [
      ...shown,
      ...more,
    ]);
    return { data: shown.map(({ item }) => item), next_cursor: closed.next_cursor };
  }

  /**
   * Deletes a task: for every reader at once, with what runs of it ended and fenced off. Rows and bytes follow (`TaskPurger`).
   *
   * @param before reads, inside the transaction, what a surface wants to say of the task as it goes; the task is locked by then
   * @throws DomainError `not-found`, `forbidden`
   */
  async remove<Shown = void>(
    actor: Actor,
    id: string,
    before?: (tx: Tx, scope: WriteScope) => Promise<Shown>,
  ): Promise<Shown | undefined> {
    const scope = writeScope(actor, 'task:manage');
    return this.database.write(scope, async (tx) => {
      const task = await this.repository.lock(scope, tx, id);
      if (task === null) {
        throw notFound('task');
      }
      if (!task.mayManage) {
        throw forbidden();
      }
      const shown = await before?.(tx, scope);
      await this.#end(scope, tx, id, task);
      return shown;
    });
  }

  async #end(scope: WriteScope, tx: Tx, id: string, task: LockedTask): Promise<void> {
    await this.runs.endAllOfTask(tx, scope, id);
    if (task.hasRun) {
      await this.runs.incrementTaskCounters(tx, scope, {
        shown: -1,
        shownPrivate: task.visibility === 'private' ? -1 : 0,
      });
    }
    if (!(await this.repository.markDeleted(scope, tx, id))) {
      throw forbidden();
    }
  }
}
