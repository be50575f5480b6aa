/**
 * What signing in reads before anyone is signed in: an account by its e-mail, a session by its token. Neither knows its
 * organisation yet, so neither takes a scope; an e-mail is unique in the instance, and a token's digest is.
 */
import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

export interface AccountToSignIn extends Record<string, unknown> {
  organization_id: string;
  user_id: string;
  epoch: number;
  password_hash: string | null;
}

@Injectable()
export class SignInQuery {
  constructor(private readonly database: Database) {}

  /** The account of this e-mail, in any case of letters, that may act now. */
  async findAccount(email: string): Promise<AccountToSignIn | null> {
    return this.database.row<AccountToSignIn>(sql`
      select u.organization_id, u.id as user_id, u.password_hash, p.epoch from users u
      join principals p on p.organization_id = u.organization_id and p.id = u.id
      where lower(u.email) = lower(${email}) and u.deleted_at is null
        and p.disabled_at is null and (p.expires_at is null or p.expires_at > clock_timestamp())`);
  }

  /** The organisation that operates the instance: where it is told what belongs to no other. */
  async operator(): Promise<string> {
    const row = await this.database.row<{ id: string }>(
      sql`select o.id from organizations o where o.operates_instance`,
    );
    if (row === null) {
      throw new Error('no organisation operates the instance');
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
