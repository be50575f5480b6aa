import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { TaskStatus } from '../runs/index.js';

/** A request and its history. The four columns before the times mirror the latest root run; the runs module writes them. */
@Entity({ name: 'tasks' })
export class TaskEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'title', type: 'text' })
  title!: string;

  @Column({ name: 'prompt', type: 'text' })
  prompt!: string;

  @Column({ name: 'payload', type: 'jsonb', nullable: true })
  payload!: unknown;

  @Column({ name: 'model', type: 'text', nullable: true })
  model!: string | null;

  @Column({ name: 'run_config', type: 'jsonb', default: () => "'{}'" })
  runConfig!: Record<string, unknown>;

  @Column({ name: 'agent_id', type: 'uuid' })
  agentId!: string;

  @Column({ name: 'project_id', type: 'uuid', nullable: true })
  projectId!: string | null;

  @Column({ name: 'team_id', type: 'uuid', nullable: true })
  teamId!: string | null;

  @Column({ name: 'visibility', type: 'text' })
  visibility!: 'private' | 'team' | 'organization';

  @Column({ name: 'account_id', type: 'uuid', nullable: true })
  accountId!: string | null;

  @Column({ name: 'artist_account_id', type: 'uuid', nullable: true })
  artistAccountId!: string | null;

  @Column({ name: 'created_by', type: 'uuid' })
  createdBy!: string;

  @Column({ name: 'is_isolated', type: 'boolean', default: false })
  isIsolated!: boolean;

  @Column({ name: 'secret_names', type: 'text', array: true, default: () => "'{}'" })
  secretNames!: string[];

  @Column({ name: 'callback', type: 'text', nullable: true })
  callback!: string | null;

  @Column({ name: 'tags', type: 'text', array: true, default: () => "'{}'" })
  tags!: string[];

  @Column({ name: 'metadata', type: 'jsonb', default: () => "'{}'" })
  metadata!: Record<string, unknown>;

  @Column({ name: 'enabled', type: 'boolean', default: true })
  enabled!: boolean;

  @Column({ name: 'max_attempts', type: 'smallint', nullable: true })
  maxAttempts!: number | null;

  @Column({ name: 'concurrency_key', type: 'text', nullable: true })
  concurrencyKey!: string | null;

  @Column({ name: 'priority', type: 'smallint', default: 0 })
  priority!: number;

  @Column({ name: 'status', type: 'text', default: 'idle' })
  status!: TaskStatus;

  @Column({ name: 'latest_run_id', type: 'uuid', nullable: true })
  latestRunId!: string | null;

  @Column({ name: 'latest_run_number', type: 'integer', nullable: true })
  latestRunNumber!: number | null;

  @Column({
    name: 'has_run',
    type: 'boolean',
    generatedType: 'STORED',
    asExpression: 'latest_run_id is not null',
    insert: false,
    update: false,
  })
  hasRun!: boolean;

  @Column({ name: 'run_count', type: 'integer', default: 0 })
  runCount!: number;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  updatedAt!: Date;

  @Column({ name: 'deleted_at', type: 'timestamptz', nullable: true })
  deletedAt!: Date | null;
}
