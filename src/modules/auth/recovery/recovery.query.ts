import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

export interface PersonToRecover extends Record<string, unknown> {
  organization_id: string;
  id: string;
  display_name: string;
}

/** What an operator names from the command line, where there is no actor and so no scope yet. */
@Injectable()
export class RecoveryQuery {
  constructor(private readonly database: Database) {}

  /** The organisation of this slug, or without one the first; null where there is none. */
  async findOrganization(slug: string | null): Promise<string | null> {
    const which = slug === null ? sql`operates_instance` : sql`slug = ${slug}`;
    return (await this.database.row<{ id: string }>(sql`select id from organizations where ${which}`))?.id ?? null;
  }

  /** Who signs in by this e-mail, disabled or not: at most two, of the organization where one is named. */
  async findPeople(email: string, organizationId: string | null): Promise<PersonToRecover[]> {
    return this.database.rows<PersonToRecover>(sql`
      select organization_id, id, display_name from users where lower(email) = lower(${email}) and deleted_at is null
        and (${organizationId}::uuid is null or organization_id = ${organizationId}) limit 2`);
  }
}
