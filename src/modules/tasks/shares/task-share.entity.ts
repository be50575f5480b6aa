import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A team that a task is shared with. */
@Entity({ name: 'task_shares' })
export class TaskShareEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'task_id', type: 'uuid' })
  taskId!: string;

  @PrimaryColumn({ name: 'team_id', type: 'uuid' })
  teamId!: string;

  @Column({ name: 'access', type: 'text' })
  access!: 'read' | 'write';

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;
}
