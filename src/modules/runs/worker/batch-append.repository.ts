import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { live } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import { insertGatheredBatches, insertGatheredLogLines, type WorkerBatch } from '../../streams/index.js';
import type { Fence } from '../core/leases.js';
import type { Appended, BatchUsage } from './worker.repository.js';

/** One batch that waits to be appended. */
export interface PendingAppend {
  runId: string;
  fence: Fence;
  batch: WorkerBatch & { logLines: readonly string[]; usage: BatchUsage };
}

@Injectable()
export class BatchAppendRepository {
  constructor(private readonly database: Database) {}

  /**
   * Appends batches of one principal in one statement and one commit; each is a row of its own, under its own fence, and batches of one
   * run follow one another in the order given. Answers by place in `appends`: null where the lease is not held **or the run is
   * locked by somebody else**, for it waits for nobody, so that two of them cannot wait for each other. @throws where any of them is refused by the tables; then none is appended
   */
  async append(scope: WriteScope, appends: readonly PendingAppend[]): Promise<(Appended | null)[]> {
    const before = placesInTheirRuns(appends);
    const rows = await this.database.rows<Appended & { place: number }>(sql`
      with gathered as materialized (
        select * from unnest(${appends.map(({ runId }) => runId)}::uuid[], ${appends.map(({ fence }) => fence.counter)}::bigint[],
          ${appends.map(({ fence }) => fence.nonce)}::text[], ${before}::int[], ${appends.map(({ batch }) => batch.count)}::int[],
          ${appends.map(({ batch }) => batch.eventsJson)}::text[], ${appends.map(({ batch }) => batch.batchId)}::text[],
          ${appends.map(({ batch }) => batch.batchDigest)}::bytea[], ${appends.map(({ batch }) => JSON.stringify(batch.logLines))}::text[],
          ${appends.map(({ batch }) => batch.usage.costInCents)}::numeric[], ${appends.map(({ batch }) => batch.usage.inputTokens)}::bigint[],
          ${appends.map(({ batch }) => batch.usage.outputTokens)}::bigint[])
          with ordinality as g (run_id, fence, nonce, before, count, events, batch_id, digest, lines, cost, input_tokens, output_tokens, place)
      ), totals as materialized (
        select run_id, fence, nonce, sum(count)::int as count, sum(cost) as cost, sum(input_tokens)::bigint as input_tokens,
          sum(output_tokens)::bigint as output_tokens from gathered group by run_id, fence, nonce
      ), held as materialized (
        select r.organization_id, r.id, r.fence, r.fence_nonce from runs r join totals t on t.run_id = r.id and t.fence = r.fence and t.nonce = r.fence_nonce
        where r.organization_id = ${scope.organizationId} and r.claimed_by = ${scope.actor.principalId}
          and r.lease_expires_at > clock_timestamp() and ${live(scope)}
        order by r.id for no key update of r skip locked
      ), raised as (
        update runs r set last_seq = r.last_seq + t.count, cost_in_cents = r.cost_in_cents + t.cost,
          input_tokens = r.input_tokens + t.input_tokens, output_tokens = r.output_tokens + t.output_tokens, updated_at = clock_timestamp()
        from held h join totals t on t.run_id = h.id and t.fence = h.fence and t.nonce = h.fence_nonce
        where r.organization_id = h.organization_id and r.id = h.id
        returning r.organization_id, r.id, r.task_id, r.fence, r.fence_nonce, r.last_seq - t.count as base, r.cancel_requested_at
      ), logged as (${insertGatheredBatches('raised', 'gathered')}
      ), lined as (${insertGatheredLogLines('raised', 'gathered')})
      select g.place::int as place, (s.base + g.before + g.count)::float8 as "lastSeq",
        s.cancel_requested_at is not null as "cancelRequested", s.task_id as "taskId"
      from raised s join gathered g on g.run_id = s.id and g.fence = s.fence and g.nonce = s.fence_nonce`);
    const byPlace = new Map(rows.map(({ place, ...appended }) => [place, appended]));
    return appends.map((_, index) => byPlace.get(index + 1) ?? null);
  }
}

/** For each batch how many events go before it under the same lease. */
function placesInTheirRuns(appends: readonly PendingAppend[]): number[] {
  const counts = new Map<string, number>();
  return appends.map(({ runId, fence, batch }) => {
    const lease = `${runId} ${fence.counter} ${fence.nonce}`;
    const before = counts.get(lease) ?? 0;
    counts.set(lease, before + batch.count);
    return before;
  });
}
