import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A team that a project, with its present and future tasks, is shared with. */
@Entity({ name: 'project_shares' })
export class ProjectShareEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'project_id', type: 'uuid' })
  projectId!: string;

  @PrimaryColumn({ name: 'team_id', type: 'uuid' })
  teamId!: string;

  @Column({ name: 'access', type: 'text' })
  access!: 'read' | 'write';

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;
}
