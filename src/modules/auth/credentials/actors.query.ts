/**
 * Who a credential stands for. These reads come before any scope exists: they are what a scope is made from, so they are the only
 * ones without a tenant in hand. Each starts from a secret or a signature that names exactly one principal.
 */
import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { type Sql, sql } from '../../../database/sql.js';
import type { ActorFacts } from './actor-facts.js';
import type { KeyDigest } from './key-digests.js';

/** A principal by one of its credentials. `facts` is null where it may not act any more. */
export interface FoundCredential {
  /** Milliseconds until the credential runs out by database time; null where it does not. */
  remainingMs: number | null;
  facts: ActorFacts | null;
}

/** A stored secret with whom it stands for. */
export interface FoundSecret extends KeyDigest, FoundCredential {
  publicId: string;
}

interface CredentialRow extends Record<string, unknown> {
  remaining_ms: number | null;
  facts: ActorFacts | null;
}

interface SecretRow extends CredentialRow {
  public_id: string;
  digest: Buffer;
  pepper_version: number;
}

@Injectable()
export class ActorsQuery {
  constructor(private readonly database: Database) {}

  /** The secrets stored under these public ids, run out or not; one round trip. */
  async findSecrets(publicIds: readonly string[]): Promise<FoundSecret[]> {
    const rows = await this.database.rows<SecretRow>(sql`
      select s.public_id, s.digest, s.pepper_version, ${remainingMs(sql`s.expires_at`)},
        (${factsOf(sql`p.organization_id = s.organization_id and p.id = s.api_key_id`)}) as facts
      from api_key_secrets s where s.public_id = any(${publicIds}::text[])`);
    return rows.map((row) => ({
      publicId: row.public_id,
      digest: row.digest,
      pepperVersion: row.pepper_version,
      remainingMs: row.remaining_ms,
      facts: row.facts,
    }));
  }

  /** The public id of each operator's key, which have no form of ours. */
  async operatorPublicIds(): Promise<string[]> {
    const rows = await this.database.rows<{ public_id: string }>(sql`
      select s.public_id from api_keys k
      join api_key_secrets s on s.organization_id = k.organization_id and s.api_key_id = k.id where k.is_bootstrap`);
    return rows.map((row) => row.public_id);
  }

  /** A principal that may act now. */
  async findPrincipal(organizationId: string, principalId: string): Promise<ActorFacts | null> {
    return this.#facts(sql`p.organization_id = ${organizationId} and p.id = ${principalId}`);
  }

  /** A user that may act now, by a session that has not ended. */
  async findBySession(organizationId: string, userId: string, familyId: string): Promise<FoundCredential | null> {
    return this.#credential(sql`
      select ${remainingMs(sql`f.expires_at`)}, (${factsOf(sql`p.organization_id = f.organization_id and p.id = f.user_id and p.kind = 'user'`)}) as facts
      from refresh_families f where f.organization_id = ${organizationId} and f.id = ${familyId} and f.user_id = ${userId}
        and f.ended_at is null and f.expires_at > clock_timestamp()`);
  }

  /** A key that may act now, by a secret of it that has not run out. */
  async findBySecret(organizationId: string, keyId: string, publicId: string): Promise<FoundCredential | null> {
    return this.#credential(sql`
      select ${remainingMs(sql`s.expires_at`)}, (${factsOf(sql`p.organization_id = s.organization_id and p.id = s.api_key_id`)}) as facts
      from api_key_secrets s where s.organization_id = ${organizationId} and s.public_id = ${publicId} and s.api_key_id = ${keyId}
        and (s.expires_at is null or s.expires_at > clock_timestamp())`);
  }

  async #credential(select: Sql): Promise<FoundCredential | null> {
    const row = await this.database.row<CredentialRow>(select);
    return row === null ? null : { remainingMs: row.remaining_ms, facts: row.facts };
  }

  async #facts(which: Sql): Promise<ActorFacts | null> {
    const row = await this.database.row<{ facts: ActorFacts | null }>(sql`select (${factsOf(which)}) as facts`);
    return row?.facts ?? null;
  }
}

function remainingMs(expiresAt: Sql): Sql {
  return sql`(extract(epoch from ${expiresAt} - clock_timestamp()) * 1000)::float8 as remaining_ms`;
}

/** One JSON object of facts for the principal `p` that fits, or null. */
function factsOf(which: Sql): Sql {
  return sql`
    select jsonb_build_object(
      'organization_id', p.organization_id, 'principal_id', p.id, 'kind', p.kind, 'role', p.role, 'epoch', p.epoch,
      'operates_instance', o.operates_instance, 'is_bootstrap', coalesce(k.is_bootstrap, false),
      'bound_user_id', k.user_id, 'user_id', up.id, 'user_role', up.role,
      'user_teams', coalesce((select jsonb_object_agg(m.team_id, m.role) from team_members m
        where m.organization_id = p.organization_id and m.user_id = up.id), '{}'),
      'key_team_ids', coalesce((select jsonb_agg(kt.team_id) from api_key_teams kt
        where kt.organization_id = p.organization_id and kt.api_key_id = p.id), '[]'),
      'held_to_teams', coalesce(k.held_to_teams, false), 'key_team_role', k.team_role,
      'agent_ids', coalesce((select jsonb_agg(ka.agent_id) from api_key_agents ka
        where ka.organization_id = p.organization_id and ka.api_key_id = p.id), '[]'))
    from principals p
    join organizations o on o.id = p.organization_id
    left join api_keys k on k.organization_id = p.organization_id and k.id = p.id
    left join users u on u.organization_id = p.organization_id and u.id = coalesce(k.user_id, p.id) and u.deleted_at is null
    left join principals up on up.organization_id = u.organization_id and up.id = u.id and up.disabled_at is null
      and (up.expires_at is null or up.expires_at > clock_timestamp())
    where ${which} and p.disabled_at is null and (p.expires_at is null or p.expires_at > clock_timestamp())`;
}
