import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A file that belongs to a task. The row says what it is; the bytes are in the blob store under the row's id. */
@Entity({ name: 'assets' })
export class AssetEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'task_id', type: 'uuid' })
  taskId!: string;

  @Column({ name: 'run_id', type: 'uuid', nullable: true })
  runId!: string | null;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'type', type: 'text' })
  type!: string;

  @Column({ name: 'content_type', type: 'text' })
  contentType!: string;

  @Column({ name: 'size_bytes', type: 'bigint', nullable: true })
  sizeBytes!: string | null;

  @Column({ name: 'sha256', type: 'text', nullable: true })
  sha256!: string | null;

  @Column({ name: 'status', type: 'text' })
  status!: string;

  @Column({ name: 'metadata', type: 'jsonb', default: () => "'{}'" })
  metadata!: unknown;

  @Column({ name: 'error', type: 'text', nullable: true })
  error!: string | null;

  @Column({ name: 'fence', type: 'bigint', nullable: true })
  fence!: string | null;

  @Column({ name: 'declared_size_bytes', type: 'bigint', nullable: true })
  declaredSizeBytes!: string | null;

  @Column({ name: 'declared_sha256', type: 'text', nullable: true })
  declaredSha256!: string | null;

  @Column({ name: 'part_size_bytes', type: 'bigint', nullable: true })
  partSizeBytes!: string | null;

  @Column({ name: 'upload_expires_at', type: 'timestamptz', nullable: true })
  uploadExpiresAt!: Date | null;

  @Column({ name: 'upload_fence', type: 'text', nullable: true })
  uploadFence!: string | null;

  @Column({ name: 'external_url', type: 'text', nullable: true })
  externalUrl!: string | null;

  @Column({ name: 'job', type: 'text', nullable: true })
  job!: string | null;

  @Column({ name: 'job_due_at', type: 'timestamptz', nullable: true })
  jobDueAt!: Date | null;

  @Column({ name: 'job_attempts', type: 'integer', default: 0 })
  jobAttempts!: number;

  @Column({ name: 'thumbnail_bytes', type: 'integer', nullable: true })
  thumbnailBytes!: number | null;

  @Column({ name: 'reserved_bytes', type: 'bigint', default: 0 })
  reservedBytes!: string;

  @Column({ name: 'created_by', type: 'uuid', nullable: true })
  createdBy!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  updatedAt!: Date;
}

/** What an organisation keeps; written by a trigger of `assets` alone. */
@Entity({ name: 'asset_totals' })
export class AssetTotalsEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @Column({ name: 'count', type: 'bigint', default: 0 })
  count!: string;

  @Column({ name: 'bytes', type: 'bigint', default: 0 })
  bytes!: string;

  @Column({ name: 'reserved_bytes', type: 'bigint', default: 0 })
  reservedBytes!: string;
}

/** A part that has arrived of an asset that is sent in parts. */
@Entity({ name: 'asset_parts' })
export class AssetPartEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'asset_id', type: 'uuid' })
  assetId!: string;

  @PrimaryColumn({ name: 'number', type: 'integer' })
  number!: number;

  @Column({ name: 'size_bytes', type: 'bigint' })
  sizeBytes!: string;

  @Column({ name: 'sha256', type: 'text' })
  sha256!: string;
}
