import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Role } from '../../../access/index.js';

/** Whoever can act: a user, a key, the system's own worker. Its epoch guards every scoped statement. */
@Entity({ name: 'principals' })
export class PrincipalEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'kind', type: 'text' })
  kind!: 'user' | 'api_key' | 'system';

  @Column({ name: 'role', type: 'text' })
  role!: Role;

  @Column({ name: 'epoch', type: 'integer', default: 1 })
  epoch!: number;

  @Column({ name: 'disabled_at', type: 'timestamptz', nullable: true })
  disabledAt!: Date | null;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;
}
