import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Keeps replies under an Idempotency-Key as they were written. `jsonb` puts the names of an object in an order of its own, so that a
 * replay had the same content and other bytes. Rewrites the table under an exclusive lock; it holds a day of replies.
 */
export class VerbatimReplies1764000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table idempotency_records alter column body type json using body::json');
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
