import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import type { Me } from './me.schema.js';

export type SelfNames = Pick<Me, 'organization' | 'user' | 'api_key'> & {
  teams: { id: string; name: string; slug: string }[];
};

@Injectable()
export class MeQuery {
  constructor(private readonly database: Database) {}

  /** The names of what the actor is known by; one round trip. */
  async names(scope: ReadScope): Promise<SelfNames | null> {
    const { organizationId, actor, teamIds } = scope;
    return this.database.json<SelfNames>(
      scope,
      sql`select json_build_object(
        'organization', json_build_object('id', o.id, 'name', o.name, 'slug', o.slug),
        'user', (select json_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name) from users u
          where u.organization_id = o.id and u.id = ${actor.userId}::uuid and u.deleted_at is null),
        'api_key', (select json_build_object('id', k.id, 'name', k.name) from api_keys k
          where k.organization_id = o.id and k.id = ${actor.principalId}),
        'teams', (select coalesce(json_agg(json_build_object('id', t.id, 'name', t.name, 'slug', t.slug) order by t.name, t.id), '[]')
          from teams t where t.organization_id = o.id and t.id = any(${teamIds}::uuid[])))
      from organizations o where o.id = ${organizationId}`,
    );
  }

  /** Of the user who is signed in: the hash of the password, null without one, and the words that no password may be made of. */
  async passwordFacts(scope: ReadScope): Promise<{ hash: string | null; words: string[] }> {
    const { organizationId, actor } = scope;
    const facts = await this.database.json<{ hash: string | null; words: string[] }>(
      scope,
      sql`select json_build_object('hash', u.password_hash, 'words', json_build_array(u.email, u.display_name, o.name, o.slug))
        from users u join organizations o on o.id = u.organization_id
        where u.organization_id = ${organizationId} and u.id = ${actor.userId}::uuid and u.deleted_at is null`,
    );
    return facts ?? { hash: null, words: [] };
  }
}
