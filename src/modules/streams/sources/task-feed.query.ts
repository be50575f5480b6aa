/** What the feed of a task reads: all its runs, as far as a cursor looks. */
import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { readableTask } from '../../../database/scope.sql.js';
import { type Sql, sql } from '../../../database/sql.js';
import type { RunEnd, StreamEvent } from '../log/stream-event.js';
import { endAfter, eventsAfter, type PageSize } from '../log/streams.repository.js';

/** Where a reader of a task's feed stands: runs up to `watermark` are told to their end, but for the open ones. */
export interface TaskPosition {
  watermark: number;
  /** Number of a run and of its last event told, in order of the runs. */
  open: readonly (readonly [run: number, seq: number])[];
}

/** One run of a page, with what it has after the position. */
export interface TaskRunPage {
  id: string;
  number: number;
  after: number;
  lastSeq: number;
  ended: boolean;
  events: StreamEvent[];
  /** How the run ended, where its log after the position is no longer kept. */
  end: RunEnd | null;
}

/** Runs that are told side by side; what keeps a cursor short, however many runs a task has. */
const MAX_OPEN_RUNS = 32;

@Injectable()
export class TaskFeedQuery {
  constructor(private readonly database: Database) {}

  /** The open runs and those after them, in one snapshot; `most` is of each run. Null where the task is not readable. */
  async page(scope: ReadScope, taskId: string, position: TaskPosition, most: PageSize): Promise<TaskRunPage[] | null> {
    return this.database.json<TaskRunPage[]>(
      scope,
      sql`select (
          select coalesce(json_agg(json_build_object('id', r.id, 'number', r.number, 'after', r.after, 'lastSeq', r.last_seq,
            'ended', r.finished_at is not null,
            'events', case when r.last_seq > r.after then (${eventsAfter(sql`r.after`, most)}) else '[]'::json end,
            'end', ${most.events === 0 ? sql`null` : endAfter(sql`r.after`)}) order by r.number), '[]')
          from (${runsFrom(scope, position)}) r
        ) from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')}`,
    );
  }

  /** True where the actor may read the task now. */
  async isReadable(scope: ReadScope, taskId: string): Promise<boolean> {
    const readable = await this.database.json<boolean>(
      scope,
      sql`select exists (select 1 from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')})`,
    );
    return readable === true;
  }
}

/** The runs of task `t` that a reader there looks at: the open ones, then the next, no more than a cursor holds. */
function runsFrom(scope: ReadScope, { watermark, open }: TaskPosition): Sql {
  const numbers = open.map(([run]) => run);
  const seqs = open.map(([, seq]) => seq);
  return sql`select u.organization_id, u.id, u.number, u.last_seq, u.finished_at, u.status, u.output, u.error, coalesce(p.seq, 0) as after
    from runs u left join unnest(${numbers}::int[], ${seqs}::bigint[]) as p (number, seq) on p.number = u.number
    where u.organization_id = ${scope.organizationId} and u.task_id = t.id and (u.number > ${watermark}::int or u.number = any(${numbers}::int[]))
    order by u.number limit ${MAX_OPEN_RUNS}`;
}
