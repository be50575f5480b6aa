import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { tenant } from '../../../database/scope.sql.js';
import { assignments, join, sql } from '../../../database/sql.js';
import { WebhookEndpointEntity } from './webhook-endpoint.entity.js';
import {
  type NewWebhook,
  TEST_EVENT,
  type WebhookListQuery,
  type WebhookPatch,
  type WebhookView,
} from './webhooks.schema.js';

type Reader = Pick<Tx, 'json'>;

/** The endpoint `e` as the API shows it. */
const WEBHOOK_JSON = sql`(select json_build_object('id', e.id, 'url', e.url, 'description', e.description, 'events', to_json(e.events),
    'enabled', e.enabled, 'disabled_reason', e.disabled_reason, 'failing_since', iso_utc(e.failing_since),
    'secret_last_four', s.last_four, 'secret_rotated_at', iso_utc(s.created_at), 'created_at', iso_utc(e.created_at),
    'updated_at', iso_utc(e.updated_at))
  from signing_secrets s where s.organization_id = e.organization_id and s.endpoint_id = e.id and s.expires_at is null)`;

@Injectable()
export class WebhooksRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: WebhookListQuery): Promise<KeysetRow<WebhookView>[]> {
    const where = sql`${tenant(scope, 'e')} and ${createdBetween('e', query)}`;
    const select = keysetRows('e', page, { item: WEBHOOK_JSON, from: sql`webhook_endpoints e`, where });
    return (await this.database.json<KeysetRow<WebhookView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<WebhookView | null> {
    return reader.json<WebhookView>(
      scope,
      sql`select ${WEBHOOK_JSON} from webhook_endpoints e where e.id = ${id} and ${tenant(scope, 'e')}`,
    );
  }

  /** What a change is held against; the row stays locked until the transaction ends. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<{ url: string; enabled: boolean } | null> {
    return tx.row<{ url: string; enabled: boolean }>(sql`
      select e.url, e.enabled from webhook_endpoints e where e.id = ${id} and ${tenant(scope, 'e')} for no key update of e`);
  }

  async insert(scope: WriteScope, tx: Tx, endpoint: NewWebhook & { id: string }): Promise<void> {
    await this.rowLimits.assertRoom(scope, tx, 'webhooks');
    await tx.manager.insert(WebhookEndpointEntity, {
      organizationId: scope.organizationId,
      ...endpoint,
      createdBy: scope.actor.creatorId,
    });
  }

  /** Turning it on, or pointing it elsewhere, begins anew: why it was off, and since when it fails, is forgotten. */
  async update(scope: WriteScope, tx: Tx, id: string, patch: WebhookPatch): Promise<void> {
    const anew = patch.enabled === true || patch.url !== undefined;
    if (anew) {
      await this.#forgetHost(scope, tx, id);
    }
    const columns = assignments({
      url: patch.url === undefined ? undefined : sql`${patch.url}`,
      description: patch.description === undefined ? undefined : sql`${patch.description}`,
      events: patch.events === undefined ? undefined : sql`${patch.events}::text[]`,
      enabled: patch.enabled === undefined ? undefined : sql`${patch.enabled}`,
      disabled_reason: patch.enabled === undefined ? undefined : sql`null`,
      failing_since: anew ? sql`null` : undefined,
      updated_at: sql`clock_timestamp()`,
    });
    await tx.execute(sql`update webhook_endpoints e set ${join(columns)} where e.id = ${id} and ${tenant(scope, 'e')}`);
    if (anew) {
      await tx.execute(sql`update delivery_lanes l set paused_until = '-infinity', failures = 0
        where l.lane_id = ${id} and ${tenant(scope, 'l')}`);
    }
  }

  /** False where there is none. What was still to be sent there is called off by the dispatchers. */
  async remove(scope: WriteScope, tx: Tx, id: string): Promise<boolean> {
    await this.#forgetHost(scope, tx, id);
    return (await tx.execute(sql`delete from webhook_endpoints e where e.id = ${id} and ${tenant(scope, 'e')}`)) === 1;
  }

  /** What is known of the host of the endpoint's URL may be of that endpoint's making: the others of the host try it again at once. */
  async #forgetHost(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await tx.execute(sql`delete from delivery_hosts h using webhook_endpoints e
      where e.id = ${id} and ${tenant(scope, 'e')} and ${tenant(scope, 'h')} and h.origin = outbox_origin(e.url)`);
  }

  /** A message that is about nothing, and its delivery, whose id it answers. */
  async insertTest(scope: WriteScope, tx: Tx, endpointId: string, deliveryId: string): Promise<void> {
    await tx.execute(sql`
      with place as materialized (select outbox_id() as id, nextval('outbox_order') as n), message as (
        insert into outbox_messages (organization_id, id, kind, type, order_key, body)
        select ${scope.organizationId}::uuid, p.id, 'test', ${TEST_EVENT}::text, p.n, jsonb_build_object('type', ${TEST_EVENT}::text,
          'timestamp', iso_utc(clock_timestamp()), 'payload_version', 1, 'order_key', p.n,
          'data', jsonb_build_object('task', null, 'run', null, 'webhook_id', ${endpointId}::text))::text
        from place p returning organization_id, id
      )
      insert into deliveries (organization_id, id, message_id, endpoint_id, lane_id)
      select m.organization_id, ${deliveryId}::uuid, m.id, ${endpointId}::uuid, ${endpointId}::uuid from message m`);
  }
}
