/** What is stored of a run, and what has to be true of it after whatever happened to it. */
import { expect } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import type { TestServer } from '../support/server.js';
import { ENDS, LEGAL } from './run-model.js';

export interface StoredRun {
  status: string;
  attempt: number;
  /** The task's status, where this is the run that the task shows. */
  mirror: string | null;
  lastSeq: number;
  log: { seq: number; type: string; data: { status?: string } }[];
  attempts: { number: number; status: string; open: boolean }[];
  drift: number;
}

export async function storedRun(server: TestServer, runId: string): Promise<StoredRun> {
  const row = await server.database.row<{ found: StoredRun }>(sql`
    select jsonb_build_object('status', r.status, 'attempt', r.attempt, 'lastSeq', r.last_seq,
      'mirror', (select coalesce((select l.status from task_listing l where l.id = t.id and (l.status, l.updated_at) = (t.status, t.updated_at)), 'unlisted')
        from tasks t where t.id = r.task_id and t.latest_run_id = r.id),
      'log', (select jsonb_agg(one order by e.first_seq, position) from run_events e, jsonb_array_elements(e.events) with ordinality as o (one, position)
        where e.run_id = r.id),
      'attempts', coalesce((select jsonb_agg(jsonb_build_object('number', a.number, 'status', a.status, 'open', a.finished_at is null)
        order by a.number) from run_attempts a where a.run_id = r.id), '[]'),
      'drift', (select count(*) from run_slots s where s.running <> (select count(*) from runs x
        where x.agent_id = s.agent_id and x.status = 'running' and x.agent_slot))) as found
    from runs r where r.id = ${runId}`);
  if (row === null) {
    throw new Error(`run ${runId} is gone`);
  }
  return row.found;
}

/** Answers the states it went through. */
export function expectSound(run: StoredRun): string[] {
  const path = run.log.flatMap(({ type, data }) => (type === 'status' ? [data.status ?? ''] : []));
  const illegal = path.slice(1).flatMap((to, index) => {
    const from = path[index] ?? '';
    return LEGAL[from]?.includes(to) === true ? [] : [`${from} -> ${to}`];
  });
  const ends = run.log.filter(({ type }) => type === 'end');
  const hasEnded = ENDS.includes(run.status);
  expect({
    illegal,
    begins: path[0],
    arrives: path.at(-1),
    mirror: run.mirror ?? run.status,
    ends: ends.map(({ data }) => data.status),
    lastType: hasEnded ? run.log.at(-1)?.type : 'end',
    numbers: run.log.map(({ seq }) => seq),
    attempts: run.attempts.map(({ number }) => number),
    attempt: run.attempts.length,
    openBesidesTheLast: run.attempts.slice(0, -1).filter(({ open }) => open),
    openAfterTheEnd: hasEnded && run.attempts.at(-1)?.open === true,
    closedWhileRunning: run.status === 'running' && run.attempts.at(-1)?.open !== true,
    drift: run.drift,
  }).toEqual({
    illegal: [],
    begins: 'queued',
    arrives: run.status,
    mirror: run.status,
    ends: hasEnded ? [run.status] : [],
    lastType: 'end',
    numbers: Array.from({ length: run.lastSeq }, (_, index) => index + 1),
    attempts: run.attempts.map((_, index) => index + 1),
    attempt: run.attempt,
    openBesidesTheLast: [],
    openAfterTheEnd: false,
    closedWhileRunning: false,
    drift: 0,
  });
  return path;
}
