import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Records with a run which values of secrets it was given, so that redaction asks what was given and not what may be given now.
 *
 * A value outlives its secret for as long as a run that was given it: `secret_versions` no longer goes with `secrets`, and a foreign key
 * keeps every version that a run names. Runs that were given secrets before are found in the audit trail. Fences of leases that come with
 * secrets are marked in the row as well, so that a fence without its mark is no fence of the lease.
 */
export class GivenSecrets1764000000015 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table secret_versions drop constraint secret_versions_organization_id_secret_id_fkey;
      alter table secret_versions add column name text check (name ~ '^[A-Z][A-Z0-9_]*$' and length(name) <= 128);
      update secret_versions v set name = s.name from secrets s where s.organization_id = v.organization_id and s.id = v.secret_id;
      alter table secret_versions alter column name set not null,
        add foreign key (organization_id) references organizations (id) on delete restrict;

      create table run_secrets (
        organization_id uuid not null,
        run_id uuid not null,
        secret_id uuid not null,
        version integer not null,
        task_id uuid not null,
        given_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, run_id, secret_id, version),
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade,
        foreign key (organization_id, secret_id, version) references secret_versions (organization_id, secret_id, version) on delete restrict
      );
      create index run_secrets_task on run_secrets (organization_id, task_id, secret_id, version);
      create index run_secrets_version on run_secrets (organization_id, secret_id, version);

      insert into run_secrets (organization_id, run_id, secret_id, version, task_id, given_at)
      select e.organization_id, r.id, v.secret_id, v.version, r.task_id, min(e.created_at)
      from audit_events e
        join runs r on r.organization_id = e.organization_id and r.id::text = e.detail ->> 'run_id'
        join secret_versions v on v.organization_id = e.organization_id and v.name = e.object_id and v.version::text = e.detail ->> 'version'
      where e.action = 'secret.read' and e.outcome = 'done'
      group by e.organization_id, r.id, v.secret_id, v.version, r.task_id;

      update runs r set fence_nonce = r.fence_nonce || '.s'
      where r.status = 'running' and exists (
        select 1 from run_secrets g where g.organization_id = r.organization_id and g.run_id = r.id);
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
