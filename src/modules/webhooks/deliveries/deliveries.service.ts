import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { EventBus, OUTBOX_TOPIC } from '../../../infrastructure/event-bus/event-bus.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { DomainError, notFound } from '../../../kernel/errors.js';
import type { Page } from '../../../kernel/page.js';
import { DeliveriesRepository } from './deliveries.repository.js';
import type { DeliveryListQuery, DeliveryView, Redelivered, RedeliveryFilter } from './deliveries.schema.js';

const MAX_REDELIVERED = 1_000;

/** What was sent, how that went, and sending it again. */
@Injectable()
export class DeliveriesService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: DeliveriesRepository,
    private readonly database: Database,
    private readonly bus: EventBus,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'deliveries');
  }

  async list(actor: Actor, query: DeliveryListQuery): Promise<Page<DeliveryView>> {
    const scope = readScope(actor, 'delivery:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<DeliveryView> {
    return required(await this.repository.find(readScope(actor, 'delivery:read'), id));
  }

  /** Sends it again, with the same id and body. @throws DomainError `not-found`, `conflict` where its endpoint is gone */
  async redeliver(actor: Actor, id: string): Promise<DeliveryView> {
    const scope = writeScope(actor, 'delivery:manage');
    return this.database.write(scope, async (tx) => {
      const isLiving = required(await this.repository.redeliver(scope, tx, id));
      if (!isLiving) {
        throw new DomainError('conflict', 'The webhook that this was for is gone.');
      }
      tx.afterCommit(() => this.bus.publish(OUTBOX_TOPIC));
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /** Sends again what fits, oldest first, a limited number at once. */
  async redeliverAll(actor: Actor, filter: RedeliveryFilter): Promise<Redelivered> {
    const scope = writeScope(actor, 'delivery:manage');
    const redelivered = await this.database.write(scope, (tx) =>
      this.repository.redeliverAll(scope, tx, filter, MAX_REDELIVERED),
    );
    this.bus.publish(OUTBOX_TOPIC);
    return { redelivered, remaining: redelivered === MAX_REDELIVERED };
  }
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('delivery');
  }
  return found;
}
