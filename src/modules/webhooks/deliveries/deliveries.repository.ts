/** The ledger of deliveries, as people see it and act on it. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { tenant } from '../../../database/scope.sql.js';
import { all, sql } from '../../../database/sql.js';
import type { DeliveryListQuery, DeliveryView, RedeliveryFilter } from './deliveries.schema.js';

/** The delivery `d` with its message `m`, as the API shows it. */
const DELIVERY_JSON = sql`json_build_object('id', d.id, 'message_id', m.id, 'kind', m.kind, 'type', m.type, 'webhook_id', d.endpoint_id,
  'url', coalesce(d.url, (select e.url from webhook_endpoints e where e.organization_id = d.organization_id and e.id = d.endpoint_id)),
  'task_id', m.task_id, 'run_id', m.run_id, 'order_key', m.order_key, 'payload_version', m.payload_version, 'status', d.status,
  'attempt_count', d.attempt_count, 'attempts', d.attempts, 'next_attempt_at', iso_utc(d.next_attempt_at),
  'delivered_at', iso_utc(d.delivered_at), 'created_at', iso_utc(d.created_at), 'updated_at', iso_utc(d.updated_at))`;

const FROM = sql`deliveries d join outbox_messages m on m.organization_id = d.organization_id and m.id = d.message_id`;

@Injectable()
export class DeliveriesRepository {
  constructor(private readonly database: Database) {}

  async list(scope: ReadScope, page: KeysetPage, query: DeliveryListQuery): Promise<KeysetRow<DeliveryView>[]> {
    const conditions = [tenant(scope, 'd'), createdBetween('d', query)];
    if (query.task_id !== undefined) conditions.push(sql`d.task_id = ${query.task_id}`);
    if (query.webhook_id !== undefined) conditions.push(sql`d.endpoint_id = ${query.webhook_id}`);
    if (query.status !== undefined) conditions.push(sql`d.status = ${query.status}`);
    if (query.type !== undefined) conditions.push(sql`m.type = ${query.type}`);
    const select = keysetRows('d', page, { item: DELIVERY_JSON, from: FROM, where: all(conditions) });
    return (await this.database.json<KeysetRow<DeliveryView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Pick<Tx, 'json'> = this.database): Promise<DeliveryView | null> {
    return reader.json<DeliveryView>(
      scope,
      sql`select ${DELIVERY_JSON} from ${FROM} where d.id = ${id} and ${tenant(scope, 'd')}`,
    );
  }

  /** Makes it due now: one that is over begins a new round. Null where there is none, false where its endpoint is gone. */
  async redeliver(scope: WriteScope, tx: Tx, id: string): Promise<boolean | null> {
    const found = await tx.row<{ living: boolean }>(sql`
      select ${LIVING} as living from deliveries d where d.id = ${id} and ${tenant(scope, 'd')} for no key update of d`);
    if (found === null || !found.living) {
      return found === null ? null : false;
    }
    await tx.execute(sql`update deliveries d set ${AGAIN} where d.id = ${id} and ${tenant(scope, 'd')}`);
    return true;
  }

  /** The same for up to `most` that fit, oldest first; how many. */
  async redeliverAll(scope: WriteScope, tx: Tx, filter: RedeliveryFilter, most: number): Promise<number> {
    const conditions = [
      tenant(scope, 'd'),
      createdBetween('d', filter),
      sql`d.status = ${filter.status ?? 'failed'}`,
      LIVING,
    ];
    if (filter.task_id !== undefined) conditions.push(sql`d.task_id = ${filter.task_id}`);
    if (filter.webhook_id !== undefined) conditions.push(sql`d.endpoint_id = ${filter.webhook_id}`);
    if (filter.type !== undefined) conditions.push(sql`m.type = ${filter.type}`);
    return tx.execute(sql`
      with chosen as materialized (
        select d.organization_id, d.id from ${FROM} where ${all(conditions)} order by d.created_at, d.id limit ${most}::int
        for no key update of d skip locked
      )
      update deliveries d set ${AGAIN} from chosen c where d.organization_id = c.organization_id and d.id = c.id`);
  }
}

const LIVING = sql`(d.endpoint_id is null or exists (select 1 from webhook_endpoints e
  where e.organization_id = d.organization_id and e.id = d.endpoint_id))`;

const AGAIN = sql`attempt = case when d.status = 'pending' then d.attempt else 0 end, status = 'pending', delivered_at = null,
  next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()`;
