import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Lets a key that is held to teams be less than a maintainer in them. */
export class HeldKeys1764000000016 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table api_keys add column team_role text check (team_role in ('maintainer', 'member', 'viewer'));
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
