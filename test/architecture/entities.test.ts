import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { connect } from '../../src/database/data-source.js';
import { migrations } from '../../src/database/migrations.js';
import { entities } from '../../src/modules/entities.js';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';

let database: TestDatabase;
let dataSource: DataSource;

beforeAll(async () => {
  database = await cloneDatabase();
  ({ dataSource } = await connect({
    url: database.url,
    poolSize: 1,
    entities: [...entities],
    migrations,
    purpose: 'requests',
    onIdleError: () => undefined,
  }));
});

afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

interface ColumnRow {
  table: string;
  column: string;
  type: string;
  nullable: boolean;
}

/** Tables that no entity stands for: written by statements of one file, next to what explains them. */
const WITHOUT_ENTITY = [
  'audit_checkpoints',
  'audit_events',
  'audit_heads',
  'audit_seals',
  'audit_unsealed',
  'bulk_operation_runs',
  'bulk_operations',
  'agent_workers',
  'budget_counters',
  'deliveries',
  'delivery_hosts',
  'delivery_lanes',
  'idempotency_records',
  'login_throttles',
  'outbox_messages',
  'run_child_batches',
  'run_events',
  'retention_marks',
  'run_log_lines',
  'run_secrets',
  'run_stops',
  'run_slots',
  'schema_migrations',
  'sealed_keys',
  'signing_secrets',
  'stream_marks',
  'secret_versions',
  'task_listing',
  'task_timezones',
  'usage_archive',
];

test('the entities have exactly the columns of the migrated schema, by name, type and nullability', async () => {
  const actual: ColumnRow[] = await dataSource.query(`
    select c.table_name as "table", c.column_name as "column",
      case when c.data_type = 'ARRAY' then ltrim(c.udt_name, '_') || '[]' else c.data_type end as type, c.is_nullable = 'YES' as nullable
    from information_schema.columns c where c.table_schema = 'public' order by 1, 2`);
  const declared = dataSource.entityMetadatas.flatMap((entity) =>
    entity.columns.map((column) => ({
      table: entity.tableName,
      column: column.databaseName,
      type: typeName(String(column.type), column.isArray),
      nullable: column.isNullable,
    })),
  );
  const tables = new Set(declared.map((row) => row.table));
  expect(
    [...new Set(actual.map((row) => row.table))]
      .filter((table) => !tables.has(table))
      .filter((table) => !WITHOUT_ENTITY.includes(table)),
  ).toEqual([]);
  expect(sorted(declared)).toEqual(sorted(actual.filter((row) => tables.has(row.table))));
});

function typeName(type: string, isArray: boolean): string {
  const name = type === 'timestamptz' ? 'timestamp with time zone' : type;
  return isArray ? `${name}[]` : name;
}

function sorted(rows: readonly ColumnRow[]): string[] {
  return rows.map((row) => `${row.table}.${row.column} ${row.type}${row.nullable ? ' null' : ''}`).sort();
}
