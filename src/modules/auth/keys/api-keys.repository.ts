import { Injectable } from '@nestjs/common';
import type { ReadScope, Role, TeamRole, UserRole, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import { PrincipalsRepository, raiseEpochs } from '../../organizations/index.js';
import type { KeyDigest } from '../credentials/key-digests.js';
import { ApiKeyAgentEntity, ApiKeyEntity, ApiKeySecretEntity, ApiKeyTeamEntity } from './api-key.entity.js';
import type { ApiKey, ApiKeyListQuery } from './api-keys.schema.js';

export interface KeyValues {
  id: string;
  name: string;
  role: Role;
  userId: string | null;
  teamIds: readonly string[];
  teamRole: TeamRole | null;
  agentIds: readonly string[];
  expiresAt: Date | null;
  isBootstrap: boolean;
  createdBy: string | null;
  /** The key that the request was sent with, where `createdBy` is the user for whom it acted. */
  createdWith: string | null;
}

export interface SecretValues extends KeyDigest {
  publicId: string;
  lastFour: string;
}

/** What decides who may touch a key. */
export interface ApiKeyStatus {
  role: Role;
  /** The role of the user that the key is bound to; null for a key of its own. */
  user_role: UserRole | null;
  is_bootstrap: boolean;
}

const FROM = sql`api_keys k join principals p on p.organization_id = k.organization_id and p.id = k.id and p.disabled_at is null`;

const SECRETS = sql`(select coalesce(json_agg(json_build_object('prefix', case when s.public_id like 'operator.%' then 'BOOTSTRAP_API_KEY'
      when p.role = 'worker' then 'tyw_' || s.public_id else 'tyk_' || s.public_id end,
    'last_four', s.last_four, 'created_at', iso_utc(s.created_at), 'expires_at', iso_utc(s.expires_at)) order by s.created_at desc), '[]')
  from api_key_secrets s where s.organization_id = k.organization_id and s.api_key_id = k.id
    and (s.expires_at is null or s.expires_at > clock_timestamp()))`;

const KEY = sql`(select json_build_object('id', k.id, 'name', k.name, 'role', p.role, 'user_id', k.user_id,
    'team_ids', (select coalesce(json_agg(t.team_id order by t.team_id), '[]') from api_key_teams t
      where t.organization_id = k.organization_id and t.api_key_id = k.id),
    'team_role', k.team_role,
    'agent_ids', (select coalesce(json_agg(a.agent_id order by a.agent_id), '[]') from api_key_agents a
      where a.organization_id = k.organization_id and a.api_key_id = k.id),
    'prefix', coalesce(secrets.list -> 0 ->> 'prefix', ''), 'last_four', coalesce(secrets.list -> 0 ->> 'last_four', ''), 'secrets', secrets.list,
    'created_by', k.created_by, 'created_at', iso_utc(k.created_at), 'expires_at', iso_utc(p.expires_at),
    'last_used_at', iso_utc(k.last_used_at))
  from (select ${SECRETS} as list) secrets)`;

@Injectable()
export class ApiKeysRepository {
  constructor(
    private readonly database: Database,
    private readonly principals: PrincipalsRepository,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, query: ApiKeyListQuery, page: KeysetPage): Promise<KeysetRow<ApiKey>[]> {
    const byMaker = query.created_by === undefined ? sql`true` : sql`k.created_by = ${query.created_by}`;
    const where = sql`${tenant(scope, 'k')} and ${byMaker} and ${createdBetween('k', query)}`;
    return (
      (await this.database.json<KeysetRow<ApiKey>[]>(scope, keysetRows('k', page, { item: KEY, from: FROM, where }))) ??
      []
    );
  }

  /** The key, or null where the organisation has none of this id that still stands. */
  async find(scope: ReadScope, id: string, tx: Tx | null = null): Promise<ApiKey | null> {
    return (tx ?? this.database).json<ApiKey>(
      scope,
      sql`select ${KEY} from ${FROM} where ${tenant(scope, 'k')} and k.id = ${id}`,
    );
  }

  async insert(scope: WriteScope, tx: Tx, key: KeyValues): Promise<void> {
    const { organizationId } = scope;
    const { id, name, userId, teamRole, isBootstrap, createdBy, createdWith } = key;
    const heldToTeams = key.teamIds.length > 0;
    await this.rowLimits.assertRoom(scope, tx, 'apiKeys');
    await this.principals.insert(scope, tx, { id, kind: 'api_key', role: key.role, expiresAt: key.expiresAt });
    await tx.manager.insert(ApiKeyEntity, {
      organizationId,
      id,
      name,
      userId,
      teamRole,
      heldToTeams,
      isBootstrap,
      createdBy,
      createdWith,
    });
    await tx.manager.insert(
      ApiKeyTeamEntity,
      key.teamIds.map((teamId) => ({ organizationId, apiKeyId: id, teamId })),
    );
    await tx.manager.insert(
      ApiKeyAgentEntity,
      key.agentIds.map((agentId) => ({ organizationId, apiKeyId: id, agentId })),
    );
  }

  async insertSecret(scope: WriteScope, tx: Tx, apiKeyId: string, secret: SecretValues): Promise<void> {
    await tx.manager.insert(ApiKeySecretEntity, { ...secret, organizationId: scope.organizationId, apiKeyId });
  }

  /** Lets every secret of the key run out after `seconds`, sooner where it would anyway, and forgets those that have. */
  async endSecrets(scope: WriteScope, tx: Tx, apiKeyId: string, seconds: number): Promise<void> {
    await tx.execute(sql`
      update api_key_secrets s set expires_at = least(s.expires_at, clock_timestamp() + make_interval(secs => ${seconds}))
      where ${tenant(scope, 's')} and s.api_key_id = ${apiKeyId}`);
    await tx.execute(sql`delete from api_key_secrets s
      where ${tenant(scope, 's')} and s.api_key_id = ${apiKeyId} and s.expires_at <= clock_timestamp()`);
  }

  /** Who the key is, locked until the end of the transaction; null where there is none that still stands. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<ApiKeyStatus | null> {
    return tx.row<ApiKeyStatus & Record<string, unknown>>(sql`
      select p.role, k.is_bootstrap,
        (select up.role from principals up where up.organization_id = k.organization_id and up.id = k.user_id) as user_role
      from ${FROM} where ${tenant(scope, 'k')} and k.id = ${id} for update of p`);
  }

  /** Makes every cached idea of the key out of date: it is read again before the next statement in its name. */
  async raiseEpoch(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await raiseEpochs(tx, scope, [id]);
  }

  /** Ends the key at once, on every replica. */
  async disable(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await this.principals.disable(scope, tx, [id]);
  }

  /** The role of a user who may act; null where the organisation has none of this id. */
  async findUserRole(scope: WriteScope, tx: Tx, userId: string): Promise<UserRole | null> {
    const row = await tx.row<{ role: UserRole }>(sql`
      select p.role from users u join principals p on p.organization_id = u.organization_id and p.id = u.id and p.disabled_at is null
      where ${tenant(scope, 'u')} and u.id = ${userId} and u.deleted_at is null for share of p`);
    return row?.role ?? null;
  }

  async countTeams(scope: WriteScope, tx: Tx, ids: readonly string[]): Promise<number> {
    return tx.execute(
      sql`select 1 from teams t where ${tenant(scope, 't')} and t.id = any(${ids}::uuid[]) for key share`,
    );
  }

  async countAgents(scope: WriteScope, tx: Tx, ids: readonly string[]): Promise<number> {
    return tx.execute(
      sql`select 1 from agents a where ${tenant(scope, 'a')} and a.id = any(${ids}::uuid[]) and a.deleted_at is null for key share`,
    );
  }

  /** Notes that the keys are in use, at most once a minute each. */
  async touch(scope: WriteScope, ids: readonly string[]): Promise<void> {
    await this.database.execute(sql`
      update api_keys k set last_used_at = clock_timestamp() where ${tenant(scope, 'k')} and k.id = any(${ids}::uuid[])
        and (k.last_used_at is null or k.last_used_at < clock_timestamp() - interval '1 minute')`);
  }
}
