/**
 * What signing in reads before anyone is signed in: accounts by their e-mail, a session by its token. Neither knows its organization yet, so
 * neither takes a scope. An e-mail is unique in its organization only, and a token's digest in the instance.
 */
import { Injectable } from '@nestjs/common';
import { PublicDatabase } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

/** Accounts of one e-mail whose password is looked at where no organization is named. */
const MAX_CANDIDATES = 3;

export interface AccountToSignIn extends Record<string, unknown> {
  organization_id: string;
  organization_slug: string;
  user_id: string;
  epoch: number;
  password_hash: string | null;
}

export interface AccountsToSignIn {
  /** Oldest first. */
  accounts: readonly AccountToSignIn[];
  /**
   * How many passwords to check, whatever was found: the same for every e-mail, so that the time of an answer does not tell whether another
   * organization knows it.
   */
  checks: number;
}

@Injectable()
export class SignInQuery {
  constructor(private readonly database: PublicDatabase) {}

  /**
   * The accounts of this e-mail, in any case of letters, that may act now. With an organization (its slug or id), of that one; without, some
   * of all organizations.
   */
  async findAccounts(email: string, organization: string | null): Promise<AccountsToSignIn> {
    const row = await this.database.row<{ accounts: AccountToSignIn[]; checks: number }>(sql`
      select coalesce((select json_agg(found) from (
          select u.organization_id, o.slug as organization_slug, u.id as user_id, u.password_hash, p.epoch from users u
          join organizations o on o.id = u.organization_id
          join principals p on p.organization_id = u.organization_id and p.id = u.id
          where lower(u.email) = lower(${email}) and u.deleted_at is null
            and (${organization}::text is null or o.slug = ${organization} or o.id::text = lower(${organization}))
            and p.disabled_at is null and (p.expires_at is null or p.expires_at > clock_timestamp())
          order by u.created_at, u.id limit ${MAX_CANDIDATES}) found), '[]') as accounts,
        case when ${organization}::text is not null then 1
          else (select count(*) from (select 1 from organizations limit ${MAX_CANDIDATES}) counted) end::integer as checks`);
    return row ?? { accounts: [], checks: 1 };
  }

  /** The organization that operates the instance: where it is told what belongs to no other. */
  async operator(): Promise<string> {
    const row = await this.database.row<{ id: string }>(
      sql`select o.id from organizations o where o.operates_instance`,
    );
    if (row === null) {
      throw new Error('no organization operates the instance');
    }
    return row.id;
  }

  /** Whose the refresh token is, spent or not. */
  async findTokenOwner(digest: Buffer): Promise<{ organization_id: string } | null> {
    return this.database.row<{ organization_id: string }>(
      sql`select t.organization_id from refresh_tokens t where t.digest = ${digest}`,
    );
  }
}
