import type { MigrationInterface, QueryRunner } from 'typeorm';

/** First halves of characters that a worker cut in two between deltas, kept until the second half comes. */
export class SplitCharacters1764000000032 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table runs add column split_characters jsonb');
  }

  async down(): Promise<void> {
    return Promise.reject(new Error('There is no way back; restore a backup.'));
  }
}
