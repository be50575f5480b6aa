import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Sign-in counts failures by account and address together, so that nobody locks an account from elsewhere; an e-mail address is unique in its
 * organization, so that no tenant learns or takes the addresses of another.
 */
export class SignIn1764000000028 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The counts so far were of accounts and of addresses alone.
      delete from login_throttles;
      alter table login_throttles
        -- Of a count of an account and an address together: the account's subject.
        add column account bytea check (octet_length(account) = 32),
        -- When that account last signed in from that address.
        add column succeeded_at timestamptz;
      drop index login_throttles_window;
      create index login_throttles_window on login_throttles (window_started_at) where succeeded_at is null;
      create index login_throttles_succeeded on login_throttles (succeeded_at) where succeeded_at is not null;

      drop index users_email;
      create unique index users_email on users (organization_id, lower(email)) where deleted_at is null;
      create index users_sign_in on users (lower(email)) where deleted_at is null;

      create index api_keys_maker on api_keys (organization_id, created_by) where created_by is not null;
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
