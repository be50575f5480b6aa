import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope } from '../../../access/index.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { BulkOperationsRepository } from './bulk-operations.repository.js';
import { type BulkOperation, MAX_MATCHED, type NewBulkOperation } from './bulk.schema.js';

/** A bulk operation was made. */
export const BULK_TOPIC = 'bulk';

/** One action on all runs that a filter matches. What is asked for here, `BulkWorker` does. */
@Injectable()
export class BulkOperationsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: BulkOperationsRepository,
    private readonly idempotency: Idempotency,
    private readonly bus: EventBus,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'bulk-operations');
  }

  /** @throws DomainError `invalid-request` where more match than one operation takes */
  async create(
    actor: Actor,
    input: NewBulkOperation,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<BulkOperation>> {
    const scope = writeScope(actor, 'run:contribute');
    const { action, filter, dry_run: dryRun = false } = input;
    return this.idempotency.run(scope, ticket, async (tx) => {
      const id = newId();
      const matched = await this.repository.insert(scope, tx, { id, action, filter, dryRun }, MAX_MATCHED);
      if (matched > MAX_MATCHED) {
        throw invalid('/filter', `matches more than ${MAX_MATCHED} runs; narrow it, by created_before for one`);
      }
      tx.afterCommit(() => this.bus.publish(BULK_TOPIC));
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<BulkOperation> {
    return required(await this.repository.find(readScope(actor, 'run:read'), id));
  }

  async list(actor: Actor, query: ListQuery): Promise<Page<BulkOperation>> {
    const scope = readScope(actor, 'run:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, query, page));
  }
}

function required(found: BulkOperation | null): BulkOperation {
  if (found === null) {
    throw notFound('bulk operation');
  }
  return found;
}
