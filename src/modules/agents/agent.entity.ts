import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What runs tasks: code of a worker elsewhere, or code of ours. */
@Entity({ name: 'agents' })
export class AgentEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'slug', type: 'text' })
  slug!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'kind', type: 'text' })
  kind!: 'worker' | 'http' | 'command' | 'builtin';

  @Column({ name: 'version', type: 'text', default: '1' })
  version!: string;

  @Column({ name: 'description', type: 'text', default: '' })
  description!: string;

  @Column({ name: 'config', type: 'jsonb', default: () => "'{}'" })
  config!: Record<string, unknown>;

  @Column({ name: 'max_attempts', type: 'smallint', default: 3 })
  maxAttempts!: number;

  @Column({ name: 'timeout_seconds', type: 'integer', default: 3600 })
  timeoutSeconds!: number;

  @Column({ name: 'lease_seconds', type: 'integer', default: 60 })
  leaseSeconds!: number;

  @Column({ name: 'retry_min_seconds', type: 'integer', default: 1 })
  retryMinSeconds!: number;

  @Column({ name: 'retry_max_seconds', type: 'integer', default: 3600 })
  retryMaxSeconds!: number;

  @Column({ name: 'retry_factor', type: 'double precision', default: 2 })
  retryFactor!: number;

  @Column({ name: 'retry_jitter', type: 'boolean', default: true })
  retryJitter!: boolean;

  @Column({ name: 'concurrency_limit', type: 'integer', nullable: true })
  concurrencyLimit!: number | null;

  @Column({ name: 'concurrency_key_limit', type: 'integer', default: 1 })
  concurrencyKeyLimit!: number;

  @Column({ name: 'concurrency_strategy', type: 'text', default: 'queue' })
  concurrencyStrategy!: 'queue' | 'cancel_oldest' | 'drop_newest';

  @Column({ name: 'paused_at', type: 'timestamptz', nullable: true })
  pausedAt!: Date | null;

  @Column({ name: 'pause_reason', type: 'text', nullable: true })
  pauseReason!: string | null;

  @Column({ name: 'default_run_config', type: 'jsonb', default: () => "'{}'" })
  defaultRunConfig!: Record<string, unknown>;

  @Column({ name: 'allowed_secret_names', type: 'text', array: true, default: () => "'{}'" })
  allowedSecretNames!: string[];

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  updatedAt!: Date;

  @Column({ name: 'deleted_at', type: 'timestamptz', nullable: true })
  deletedAt!: Date | null;
}
