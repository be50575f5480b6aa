import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { RunStatus, AttemptStatus } from './run.state.js';

/** A run: one execution of a task, and its place in the queue. Changed by the statements of this module only. */
@Entity('runs')
export class RunEntity {
  @PrimaryColumn('uuid', { name: 'organization_id' }) organizationId!: string;
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'task_id' }) taskId!: string;
  @Column('integer') number!: number;
  @Column('uuid', { name: 'agent_id' }) agentId!: string;
  @Column('text') status!: RunStatus;
  @Column('text', { name: 'wait_kind', nullable: true }) waitKind!: 'question' | 'approval' | 'children' | null;
  @Column('bigint') fence!: string;
  @Column('text', { name: 'fence_nonce', nullable: true }) fenceNonce!: string | null;
  @Column('uuid', { name: 'claimed_by', nullable: true }) claimedBy!: string | null;
  @Column('text', { name: 'worker_id', nullable: true }) workerId!: string | null;
  @Column('integer', { name: 'lease_seconds' }) leaseSeconds!: number;
  @Column('timestamptz', { name: 'lease_expires_at', nullable: true }) leaseExpiresAt!: Date | null;
  @Column('integer', { name: 'timeout_seconds' }) timeoutSeconds!: number;
  @Column('timestamptz', { name: 'deadline_at', nullable: true }) deadlineAt!: Date | null;
  @Column('smallint') attempt!: number;
  @Column('smallint', { name: 'max_attempts' }) maxAttempts!: number;
  @Column('smallint') priority!: number;
  @Column('jsonb', { name: 'run_config' }) runConfig!: object;
  @Column('jsonb', { nullable: true }) payload!: unknown;
  /** Retention has deleted the payload; a run without one never had any. */
  @Column('boolean', { name: 'payload_deleted', default: false }) payloadDeleted!: boolean;
  @Column('jsonb', { nullable: true }) output!: object | null;
  @Column('jsonb', { nullable: true }) error!: object | null;
  @Column('text', { array: true }) tags!: string[];
  @Column('jsonb') metadata!: object;
  @Column('text', { name: 'idempotency_key', nullable: true }) idempotencyKey!: string | null;
  @Column('boolean', { name: 'is_test' }) isTest!: boolean;
  @Column('numeric', { name: 'cost_in_cents', precision: 18, scale: 6 }) costInCents!: string;
  @Column('numeric', { name: 'base_cost_in_cents', precision: 18, scale: 6 }) baseCostInCents!: string;
  @Column('uuid', { name: 'created_by', nullable: true }) createdBy!: string | null;
  @Column('uuid', { name: 'api_key_id', nullable: true }) apiKeyId!: string | null;
  @Column('bigint', { name: 'input_tokens' }) inputTokens!: string;
  @Column('bigint', { name: 'output_tokens' }) outputTokens!: string;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt!: Date;
  @Column('timestamptz', { name: 'queued_at', nullable: true }) queuedAt!: Date | null;
  @Column('timestamptz', { name: 'available_at' }) availableAt!: Date;
  @Column('timestamptz', { name: 'delayed_until', nullable: true }) delayedUntil!: Date | null;
  @Column('text', { nullable: true }) ttl!: string | null;
  @Column('timestamptz', { name: 'expires_at', nullable: true }) expiresAt!: Date | null;
  @Column('timestamptz', { name: 'expired_at', nullable: true }) expiredAt!: Date | null;
  @Column('timestamptz', { name: 'started_at', nullable: true }) startedAt!: Date | null;
  @Column('timestamptz', { name: 'finished_at', nullable: true }) finishedAt!: Date | null;
  @Column('uuid', { name: 'parent_run_id', nullable: true }) parentRunId!: string | null;
  @Column('uuid', { name: 'root_run_id' }) rootRunId!: string;
  @Column('smallint') depth!: number;
  @Column('uuid', { name: 'batch_id', nullable: true }) batchId!: string | null;
  @Column('text', { name: 'concurrency_key', nullable: true }) concurrencyKey!: string | null;
  @Column('bigint', { name: 'leased_ms', nullable: true }) leasedMs!: string | null;
  @Column('boolean', { name: 'agent_slot' }) agentSlot!: boolean;
  @Column('boolean', { name: 'key_slot' }) keySlot!: boolean;
  @Column('boolean', { name: 'held_back' }) heldBack!: boolean;
  @Column('uuid', { name: 'schedule_id', nullable: true }) scheduleId!: string | null;
  @Column('bigint', { name: 'last_seq' }) lastSeq!: string;
  /** First halves of characters that wait for their second (split-characters.ts), with the fence of their lease. */
  @Column('jsonb', { name: 'split_characters', nullable: true }) splitCharacters!: object | null;
  @Column('timestamptz', { name: 'cancel_requested_at', nullable: true }) cancelRequestedAt!: Date | null;
  @Column('uuid', { name: 'cancel_requested_by', nullable: true }) cancelRequestedBy!: string | null;
  @Column('jsonb', { nullable: true }) release!: object | null;
  @Column('uuid', { name: 'replay_of_run_id', nullable: true }) replayOfRunId!: string | null;
  @Column('jsonb', { nullable: true }) wait!: object | null;
  @Column('timestamptz', { name: 'wait_since', nullable: true }) waitSince!: Date | null;
  @Column('timestamptz', { name: 'wait_due_at', nullable: true }) waitDueAt!: Date | null;
  @Column('uuid', { name: 'wait_assignee_id', nullable: true }) waitAssigneeId!: string | null;
  @Column('jsonb', { nullable: true }) resume!: object | null;
}

/** One try of a run. */
@Entity('run_attempts')
export class RunAttemptEntity {
  @PrimaryColumn('uuid', { name: 'organization_id' }) organizationId!: string;
  @PrimaryColumn('uuid', { name: 'run_id' }) runId!: string;
  @PrimaryColumn('smallint') number!: number;
  @Column('text') status!: AttemptStatus;
  @Column('text', { name: 'worker_id', nullable: true }) workerId!: string | null;
  @Column('jsonb', { nullable: true }) error!: object | null;
  @Column('timestamptz', { name: 'started_at' }) startedAt!: Date;
  @Column('timestamptz', { name: 'finished_at', nullable: true }) finishedAt!: Date | null;
}

/** Exact counts of tasks that have been run, in shards. */
@Entity('task_counters')
export class TaskCounterEntity {
  @PrimaryColumn('uuid', { name: 'organization_id' }) organizationId!: string;
  @PrimaryColumn('smallint') shard!: number;
  @Column('bigint') shown!: string;
  @Column('bigint', { name: 'shown_private' }) shownPrivate!: string;
}
