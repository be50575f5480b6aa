import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A tenant. */
@Entity({ name: 'organizations' })
export class OrganizationEntity {
  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'slug', type: 'text' })
  slug!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'operates_instance', type: 'boolean', default: false })
  operatesInstance!: boolean;

  @Column({ name: 'default_agent_id', type: 'uuid', nullable: true })
  defaultAgentId!: string | null;

  @Column({ name: 'settings', type: 'jsonb', default: () => "'{}'" })
  settings!: Record<string, unknown>;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  updatedAt!: Date;
}
