import { Injectable } from '@nestjs/common';
import { type Actor, readScope, type WriteScope } from '../../access/index.js';
import type { Tx } from '../../database/database.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../http/pagination/cursor-paginator.js';
import { invalid, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import type { Page } from '../../kernel/page.js';
import { MessagesRepository } from './messages.repository.js';
import type { Message, MessagePart, MessageRole } from './messages.schema.js';

export interface NewMessage {
  taskId: string;
  /** The run that says it, or that it is said to; null where there is none. */
  runId: string | null;
  role: MessageRole;
  parts: readonly MessagePart[];
  /** The worker's own name for it: a message of the same run and name is kept once, as it was first said. */
  externalId?: string | null;
  /** The principal or user who wrote it; absent for an agent's. */
  createdBy?: string | null;
}

@Injectable()
export class MessagesService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: MessagesRepository,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'messages');
  }

  /**
   * Adds a message to a task inside the caller's transaction, which has made sure that the caller may (by right or by lease).
   * @throws DomainError `invalid-request` for a file that is no asset of the task; `not-found` for no such task
   */
  async append(tx: Tx, scope: WriteScope, message: NewMessage): Promise<Message> {
    const { taskId, runId, role, parts, externalId = null, createdBy = null } = message;
    await this.#assertFilesAreOfTask(tx, scope, taskId, parts);
    const row = { id: newId(), taskId, runId, role, parts, externalId, createdBy };
    const stored = await this.repository.insert(scope, tx, row);
    if (stored !== null) {
      return stored;
    }
    const first =
      runId === null || externalId === null
        ? null
        : await this.repository.findByExternalId(scope, tx, runId, externalId);
    if (first === null) {
      throw notFound('task');
    }
    return first;
  }

  /**
   * Adds the prompts of tasks that the caller's transaction has just made, each as the first message of its task. Texts only: a new
   * task has no files to refer to.
   */
  async appendPrompts(
    tx: Tx,
    scope: WriteScope,
    prompts: readonly { taskId: string; runId: string | null; text: string; createdBy: string }[],
  ): Promise<void> {
    const rows = prompts.map(({ text, ...prompt }) => ({
      ...prompt,
      id: newId(),
      role: 'user' as const,
      parts: [{ type: 'text' as const, text }],
      externalId: null,
    }));
    await this.repository.insertAll(scope, tx, rows);
  }

  /** A page of a task's messages, in the order they were said unless asked otherwise. @throws DomainError `not-found` */
  async list(actor: Actor, taskId: string, query: ListQuery): Promise<Page<Message>> {
    const scope = readScope(actor, 'message:read');
    const page = this.#pages.open(scope, query, 'created_at', taskId);
    const rows = await this.repository.list(scope, taskId, query, {
      ...page,
      // A message is never changed, so it was updated when it was made.
      sort: page.sort === '-updated_at' ? '-created_at' : page.sort === 'updated_at' ? 'created_at' : page.sort,
    });
    if (rows === null) {
      throw notFound('task');
    }
    return this.#pages.close(scope, query, page, rows, taskId);
  }

  async #assertFilesAreOfTask(tx: Tx, scope: WriteScope, taskId: string, parts: readonly MessagePart[]): Promise<void> {
    const assetIds = parts.flatMap((part) => (part.type === 'file' ? [part.asset_id] : []));
    if (assetIds.length === 0) {
      return;
    }
    const known = await this.repository.assetsOfTask(scope, tx, taskId, assetIds);
    const stranger = parts.findIndex((part) => part.type === 'file' && !known.has(part.asset_id.toLowerCase()));
    if (stranger !== -1) {
      throw invalid(`/parts/${stranger}/asset_id`, 'This task has no such asset.');
    }
  }
}
