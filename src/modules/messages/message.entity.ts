import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One thing said about a task: by a person, by the agent, or by the system. Never changed once said. */
@Entity({ name: 'messages' })
export class MessageEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'task_id', type: 'uuid' })
  taskId!: string;

  @Column({ name: 'run_id', type: 'uuid', nullable: true })
  runId!: string | null;

  @Column({ name: 'role', type: 'text' })
  role!: string;

  @Column({ name: 'parts', type: 'jsonb' })
  parts!: unknown;

  @Column({ name: 'external_id', type: 'text', nullable: true })
  externalId!: string | null;

  @Column({ name: 'created_by', type: 'uuid', nullable: true })
  createdBy!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;
}
