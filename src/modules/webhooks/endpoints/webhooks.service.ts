import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { Egress } from '../../../infrastructure/egress/egress.js';
import { EventBus, OUTBOX_TOPIC } from '../../../infrastructure/event-bus/event-bus.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { DomainError, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { DeliveriesRepository } from '../deliveries/deliveries.repository.js';
import type { DeliveryView } from '../deliveries/deliveries.schema.js';
import { WebhookSecretsService, OVERLAP_HOURS } from '../secrets/webhook-secrets.service.js';
import { WebhookSecretsRepository } from '../secrets/webhook-secrets.repository.js';
import { WebhooksRepository } from './webhooks.repository.js';
import type {
  CallbackSecretView,
  NewWebhook,
  RotatedCallbackSecret,
  WebhookChanged,
  WebhookListQuery,
  WebhookPatch,
  WebhookView,
  WebhookWithSecret,
} from './webhooks.schema.js';

const SHOWN_ONCE = 'Keep the secret now: it cannot be shown again.';
const SHOWN_BEFORE = 'The secret was shown in the first reply only; rotate it where that reply was lost.';
const ROTATED = `${SHOWN_ONCE} For ${OVERLAP_HOURS} hours the old one signs beside it.`;
const MOVED = `${SHOWN_ONCE} The old one was for the old place, and signs no more.`;

/** Where an organisation is told of events, and what that is signed with. */
@Injectable()
export class WebhooksService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: WebhooksRepository,
    private readonly deliveries: DeliveriesRepository,
    private readonly secrets: WebhookSecretsService,
    private readonly sealed: WebhookSecretsRepository,
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly egress: Egress,
    private readonly bus: EventBus,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'webhooks');
  }

  async list(actor: Actor, query: WebhookListQuery): Promise<Page<WebhookView>> {
    const scope = readScope(actor, 'webhook:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<WebhookView> {
    return required(await this.repository.find(readScope(actor, 'webhook:read'), id));
  }

  /** Told of what happens from now on. @throws DomainError `invalid-request` for a URL that must not be called, `limit-reached` */
  async create(actor: Actor, input: NewWebhook, ticket: IdempotencyTicket | null): Promise<Outcome<WebhookWithSecret>> {
    const scope = writeScope(actor, 'webhook:manage');
    this.#assertUrl(input.url);
    let secret: string | null = null;
    const { value, replayed } = await this.idempotency.run(scope, ticket, async (tx) => {
      const id = newId();
      await this.repository.insert(scope, tx, { id, ...input });
      secret = await this.secrets.renew(scope, tx, id);
      return required(await this.repository.find(scope, id, tx));
    });
    return { value: { ...value, ...shown(secret, replayed, SHOWN_ONCE) }, replayed };
  }

  /** Pointed at another origin, it gets another secret, shown in this reply. @throws DomainError `not-found`, `invalid-request` */
  async update(actor: Actor, id: string, patch: WebhookPatch): Promise<WebhookChanged> {
    const scope = writeScope(actor, 'webhook:manage');
    if (patch.url !== undefined) {
      this.#assertUrl(patch.url);
    }
    return this.database.write(scope, async (tx) => {
      const before = required(await this.repository.lock(scope, tx, id));
      await this.repository.update(scope, tx, id, patch);
      const moves = patch.url !== undefined && new URL(patch.url).origin !== new URL(before.url).origin;
      const secret = moves ? await this.secrets.renew(scope, tx, id, 0) : null;
      const webhook = required(await this.repository.find(scope, id, tx));
      return secret === null ? webhook : { ...webhook, secret, note: MOVED };
    });
  }

  /** What was still to be sent there is called off. @throws DomainError `not-found` */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'webhook:manage');
    await this.database.write(scope, async (tx) => {
      if (!(await this.repository.remove(scope, tx, id))) {
        throw notFound('webhook');
      }
    });
  }

  /** @throws DomainError `not-found` */
  async rotateSecret(actor: Actor, id: string, ticket: IdempotencyTicket | null): Promise<Outcome<WebhookWithSecret>> {
    const scope = writeScope(actor, 'webhook:manage');
    let secret: string | null = null;
    const { value, replayed } = await this.idempotency.run(scope, ticket, async (tx) => {
      required(await this.repository.lock(scope, tx, id));
      secret = await this.secrets.renew(scope, tx, id);
      return required(await this.repository.find(scope, id, tx));
    });
    return { value: { ...value, ...shown(secret, replayed, ROTATED) }, replayed };
  }

  /** Sends a message about nothing by the way of all others. @throws DomainError `not-found`, `conflict` where it is turned off */
  async test(actor: Actor, id: string, ticket: IdempotencyTicket | null): Promise<Outcome<DeliveryView>> {
    const scope = writeScope(actor, 'webhook:manage');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const { enabled } = required(await this.repository.lock(scope, tx, id));
      if (!enabled) {
        throw new DomainError('conflict', 'This webhook is turned off; enable it first.');
      }
      const deliveryId = newId();
      await this.repository.insertTest(scope, tx, id, deliveryId);
      tx.afterCommit(() => this.bus.publish(OUTBOX_TOPIC));
      return required(await this.deliveries.find(scope, deliveryId, tx));
    });
  }

  async callbackSecret(actor: Actor): Promise<CallbackSecretView> {
    const found = await this.sealed.ofCallbacks(readScope(actor, 'webhook:read'));
    return found ?? { created_at: null, last_four: null };
  }

  /** Makes the secret that callbacks are signed with, or another one. */
  async rotateCallbackSecret(actor: Actor, ticket: IdempotencyTicket | null): Promise<Outcome<RotatedCallbackSecret>> {
    const scope = writeScope(actor, 'webhook:manage');
    let secret: string | null = null;
    const { value, replayed } = await this.idempotency.run(scope, ticket, async (tx) => {
      secret = await this.secrets.renew(scope, tx, null);
      return required(await this.sealed.ofCallbacks(scope, tx));
    });
    return { value: { ...value, ...shown(secret, replayed, ROTATED) }, replayed };
  }

  #assertUrl(url: string): void {
    const reason = this.egress.refusal(url);
    if (reason !== null) {
      throw invalid('/url', reason);
    }
  }
}

function shown(secret: string | null, replayed: boolean, note: string): { secret: string | null; note: string } {
  return replayed ? { secret: null, note: SHOWN_BEFORE } : { secret, note };
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('webhook');
  }
  return found;
}
