import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { TeamRole } from '../../../access/index.js';

/** A key: a principal that people make for programs. What is typed is one of its secrets. */
@Entity({ name: 'api_keys' })
export class ApiKeyEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid' })
  id!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'user_id', type: 'uuid', nullable: true })
  userId!: string | null;

  /** The most that the key is in the teams it is held to; null where its role alone decides. */
  @Column({ name: 'team_role', type: 'text', nullable: true })
  teamRole!: TeamRole | null;

  @Column({ name: 'is_bootstrap', type: 'boolean', default: false })
  isBootstrap!: boolean;

  /** Whether the key is limited to teams: stays true when the last of them is deleted, so that the key is not organization-wide then. */
  @Column({ name: 'held_to_teams', type: 'boolean', default: false })
  heldToTeams!: boolean;

  @Column({ name: 'created_by', type: 'uuid', nullable: true })
  createdBy!: string | null;

  /** The key that was used to create this one, where `createdBy` is the user for whom it acted. */
  @Column({ name: 'created_with', type: 'uuid', nullable: true })
  createdWith!: string | null;

  @Column({ name: 'last_used_at', type: 'timestamptz', nullable: true })
  lastUsedAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;
}

/** One secret of a key, as a keyed digest. Rotation adds one and lets the others run out. */
@Entity({ name: 'api_key_secrets' })
export class ApiKeySecretEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'public_id', type: 'text' })
  publicId!: string;

  @Column({ name: 'api_key_id', type: 'uuid' })
  apiKeyId!: string;

  @Column({ name: 'digest', type: 'bytea' })
  digest!: Buffer;

  @Column({ name: 'pepper_version', type: 'smallint' })
  pepperVersion!: number;

  @Column({ name: 'last_four', type: 'text' })
  lastFour!: string;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  createdAt!: Date;
}

/** A team that a key is held to. */
@Entity({ name: 'api_key_teams' })
export class ApiKeyTeamEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'api_key_id', type: 'uuid' })
  apiKeyId!: string;

  @PrimaryColumn({ name: 'team_id', type: 'uuid' })
  teamId!: string;
}

/** An agent that a worker's key is held to. */
@Entity({ name: 'api_key_agents' })
export class ApiKeyAgentEntity {
  @PrimaryColumn({ name: 'organization_id', type: 'uuid' })
  organizationId!: string;

  @PrimaryColumn({ name: 'api_key_id', type: 'uuid' })
  apiKeyId!: string;

  @PrimaryColumn({ name: 'agent_id', type: 'uuid' })
  agentId!: string;
}
