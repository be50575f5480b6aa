import { type Sql, raw, sql } from '../../database/sql.js';

/** A message row as the API shows it. */
export function messageJson(alias: string): Sql {
  const m = raw(alias);
  return sql`jsonb_build_object('id', ${m}.id, 'role', ${m}.role, 'parts', ${m}.parts, 'created_at', iso_utc(${m}.created_at), 'run_id', ${m}.run_id)`;
}

/** The newest `most` messages of the task row `taskAlias`, oldest first, as a JSON array; an expression over that row. */
export function latestMessagesJson(taskAlias: string, most: number): Sql {
  const t = raw(taskAlias);
  return sql`(select coalesce(jsonb_agg(${messageJson('latest')} order by latest.created_at, latest.id), '[]'::jsonb)
    from (select m.id, m.role, m.parts, m.created_at, m.run_id from messages m
      where m.organization_id = ${t}.organization_id and m.task_id = ${t}.id
      order by m.created_at desc, m.id desc limit ${most}) latest)`;
}

/** How many messages the task row `taskAlias` has. */
export function messagesTotal(taskAlias: string): Sql {
  const t = raw(taskAlias);
  return sql`(select count(*) from messages m where m.organization_id = ${t}.organization_id and m.task_id = ${t}.id)`;
}
