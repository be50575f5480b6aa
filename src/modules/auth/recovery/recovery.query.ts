import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

/** What an operator names from the command line, where there is no actor and so no scope yet. */
@Injectable()
export class RecoveryQuery {
  constructor(private readonly database: Database) {}

  /** The organisation of this slug, or without one the first; null where there is none. */
  async findOrganization(slug: string | null): Promise<string | null> {
    const which = slug === null ? sql`operates_instance` : sql`slug = ${slug}`;
    return (await this.database.row<{ id: string }>(sql`select id from organizations where ${which}`))?.id ?? null;
  }

  /** Whoever signs in by this e-mail, disabled or not. */
  async findPerson(email: string): Promise<{ organization_id: string; id: string } | null> {
    return this.database.row<{ organization_id: string; id: string }>(
      sql`select organization_id, id from users where lower(email) = lower(${email}) and deleted_at is null`,
    );
  }
}
