/** Schedules of a test server whose slots come when a test says so: by setting where the schedule stands. The rest is the server's. */
import { expect } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { ScheduleDispatcher } from '../../src/modules/schedules/index.js';
import type { Reply, TestServer } from './server.js';

/** A rule whose own next slot is months away. */
export const RARE = { cron: '0 0 1 1 *' };

export interface Made {
  id: string;
  taskId: string;
}

/** Status, reason, whether it has a run. */
export type Row = [status: string, reason: string | null, hasRun: boolean];

export class TestSchedules {
  constructor(readonly server: TestServer) {}

  async made(schedule: object = {}, task: object = {}, agent = 'scheduled'): Promise<Made> {
    const reply = await this.server.call('POST', '/api/v1/tasks', {
      body: { agent, prompt: 'Sum up', schedule: { ...RARE, ...schedule }, ...task },
    });
    expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
    return { id: reply.body.task.schedule_info.schedule_id, taskId: reply.body.task.id };
  }

  /** Lets the next slot have come so many seconds ago, and be decided. */
  async come(id: string, secondsAgo = 0): Promise<void> {
    await this.server.database.execute(sql`
    update schedules s set next_at = m.slot, due_at = m.slot, cursor_at = m.slot - interval '1 millisecond', anchor_at = m.slot, is_over = false
    from (select date_trunc('milliseconds', clock_timestamp()) - make_interval(secs => ${secondsAgo}) as slot) m where s.id = ${id}`);
    await this.fired(id);
  }

  /** Fires until the schedule is not due any more, or has none that waits: another turn may have it in its hands. */
  async fired(id: string, what: 'due' | 'waiting' = 'due'): Promise<void> {
    const left = what === 'due' ? sql`s.due_at <= clock_timestamp()` : sql`s.waiting_slot_at is not null`;
    for (;;) {
      await this.server.app.get(ScheduleDispatcher).fire();
      const row = await this.server.database.row(sql`select 1 from schedules s where s.id = ${id} and ${left}`);
      if (row === null) {
        return;
      }
    }
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape
  async get(path: string): Promise<any> {
    const reply = await this.server.call('GET', path);
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
    return reply.body;
  }

  /** Oldest first. */
  async ledger(id: string): Promise<Row[]> {
    const { data } = await this.get(`/api/v1/schedules/${id}/slots?limit=100`);
    return data
      .reverse()
      .map((slot: { status: string; reason: string | null; run_id: string | null }) => [
        slot.status,
        slot.reason,
        slot.run_id !== null,
      ]);
  }

  async post(path: string, body: object = {}): Promise<Reply> {
    return this.server.call('POST', `/api/v1/schedules/${path}`, { body });
  }
}
