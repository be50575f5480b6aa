import { Column, Entity, PrimaryColumn } from 'typeorm';

/** How long an organisation keeps what runs leave, in days; null keeps for ever. Without a row, the defaults hold. */
@Entity({ name: 'retention_policies' })
export class RetentionPolicyEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @Column({ name: 'events_days', type: 'integer', nullable: true })
  eventsDays!: number | null;

  @Column({ name: 'logs_days', type: 'integer', nullable: true })
  logsDays!: number | null;

  @Column({ name: 'payloads_days', type: 'integer', nullable: true })
  payloadsDays!: number | null;

  @Column({ name: 'runs_days', type: 'integer', nullable: true })
  runsDays!: number | null;

  @Column({ name: 'assets_days', type: 'integer', nullable: true })
  assetsDays!: number | null;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  updatedAt!: Date;
}
