/**
 * Keeps the planner informed while tables are young.
 *
 * A prepared statement soon gets one plan for good, made from what the statistics say then. While a table has none, or says it has one
 * row, every index that begins with `organization_id` looks as good as the primary key, and the planner may take any: a look-up of one
 * run then reads all runs of its organisation, a join of two such look-ups all pairs. Plans are made anew when a table is analyzed,
 * which autovacuum does a minute later at the earliest; a burst of work on a new server meets the bad plans until then (measured: 0.7 s
 * to complete a run among 500). So tables that are small and have grown much are analyzed here, within a second or two, each time
 * they have grown by half; changes of rows that are there do not count, or a busy queue would have all its plans made anew
 * each second. One that is large is autovacuum's: its plans cannot go wrong in this way any more.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { Log } from '../kernel/log.js';
import { Database } from './database.js';
import { raw, sql } from './sql.js';

const INTERVAL_MS = 1_000;
/** Where none is young any more, new ones can only come with a migration or a purge. */
const IDLE_INTERVAL_MS = 60_000;
/** 8 MiB: analyzing it takes some milliseconds. */
const YOUNG_PAGES = 1_000;
const MIN_GROWTH = 20;

@Injectable()
export class AutoAnalyze implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #keeping: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#keeping = this.#keep();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#keeping;
  }

  /** Analyzes what has grown much; answers whether there is a young table at all. */
  async look(): Promise<boolean> {
    const young = await this.database.rows<{ name: string; isDue: boolean }>(sql`
      select s.relid::regclass::text as name, s.n_live_tup >= ${MIN_GROWTH}::int + 1.5 * greatest(c.reltuples, 0) as "isDue"
      from pg_stat_user_tables s join pg_class c on c.oid = s.relid
      where c.relpages < ${YOUNG_PAGES}::int and s.schemaname = current_schema() and pg_has_role(c.relowner, 'usage')`);
    for (const { name } of young.filter(({ isDue }) => isDue)) {
      await this.database.execute(sql`analyze (skip_locked) ${raw(name)}`);
    }
    return young.length > 0;
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stop;
    for (let paceMs = INTERVAL_MS; !signal.aborted;) {
      const isOver = await delay(paceMs, false, { signal, ref: false }).catch(() => true);
      if (isOver) {
        return;
      }
      paceMs = await this.look().then(
        (isYoung) => (isYoung ? INTERVAL_MS : IDLE_INTERVAL_MS),
        (error: unknown) => {
          this.log.debug('young tables could not be analyzed; trying again', { error });
          return INTERVAL_MS;
        },
      );
    }
  }
}
