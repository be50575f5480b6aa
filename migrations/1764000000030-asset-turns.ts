import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Work on assets is taken by turns of the organizations: the queue is read by kind, then organization, then due time. */
export class AssetTurns1764000000030 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create index assets_job_turns on assets (job, organization_id, job_due_at) where job is not null;
      drop index assets_jobs;
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
