import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A limit on what runs cost, or on how many there are. What is spent is counted by triggers of the runs table. */
@Entity({ name: 'budgets' })
export class BudgetEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'scope_kind', type: 'text' })
  scopeKind!: 'organization' | 'agent' | 'api_key' | 'task' | 'schedule' | 'run';

  @Column({ name: 'scope_id', type: 'uuid', nullable: true })
  scopeId!: string | null;

  @Column({ name: 'period', type: 'text' })
  period!: 'day' | 'month' | 'total';

  @Column({ name: 'limit_cents', type: 'numeric', precision: 18, scale: 6, nullable: true })
  limitCents!: string | null;

  @Column({ name: 'limit_runs', type: 'integer', nullable: true })
  limitRuns!: number | null;

  @Column({ name: 'action', type: 'text' })
  action!: 'refuse' | 'stop';

  @Column({ name: 'enabled', type: 'boolean', default: true })
  enabled!: boolean;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  updatedAt!: Date;
}
