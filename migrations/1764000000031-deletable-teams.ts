import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Teams, projects and accounts can be deleted although deleted tasks, and keys that no longer work, still name them. That a key is limited
 * to teams is stored on the key, so that it stays limited when its teams are gone.
 */
export class DeletableTeams1764000000031 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table api_keys
        add column held_to_teams boolean not null default false,
        -- The key that the request to create this one was sent with, where a user is shown as its maker.
        add column created_with uuid;
      update api_keys k set held_to_teams = true where exists (
        select 1 from api_key_teams t where t.organization_id = k.organization_id and t.api_key_id = k.id);
      create index api_keys_made_with on api_keys (organization_id, created_with) where created_with is not null;
      create index api_key_teams_team on api_key_teams (organization_id, team_id);

      -- Also for a key that a process of an older version creates during an upgrade.
      create function api_key_teams_hold() returns trigger language plpgsql as $$
      begin
        update api_keys k set held_to_teams = true from held h
          where k.organization_id = h.organization_id and k.id = h.api_key_id and not k.held_to_teams;
        return null;
      end $$;
      create trigger api_key_teams_hold after insert on api_key_teams referencing new table as held
        for each statement execute function api_key_teams_hold();

      -- What does not hold a team: tasks that are deleted and wait to be purged, keys that no longer work, and keys that have other teams.
      create function teams_release() returns trigger language plpgsql as $$
      begin
        update tasks t set team_id = null, visibility = case when t.visibility = 'team' then 'private' else t.visibility end
          where t.organization_id = old.organization_id and t.team_id = old.id and t.deleted_at is not null;
        delete from api_key_teams kt where kt.organization_id = old.organization_id and kt.team_id = old.id and (
          exists (select 1 from principals p where p.organization_id = kt.organization_id and p.id = kt.api_key_id
            and (p.disabled_at is not null or p.expires_at <= clock_timestamp()))
          or exists (select 1 from api_key_teams other where other.organization_id = kt.organization_id
            and other.api_key_id = kt.api_key_id and other.team_id <> kt.team_id));
        return old;
      end $$;
      create trigger teams_release before delete on teams for each row execute function teams_release();

      create function projects_release() returns trigger language plpgsql as $$
      begin
        update tasks t set project_id = null
          where t.organization_id = old.organization_id and t.project_id = old.id and t.deleted_at is not null;
        return old;
      end $$;
      create trigger projects_release before delete on projects for each row execute function projects_release();

      create function accounts_release() returns trigger language plpgsql as $$
      begin
        update tasks t set account_id = nullif(t.account_id, old.id), artist_account_id = nullif(t.artist_account_id, old.id)
          where t.organization_id = old.organization_id and (t.account_id = old.id or t.artist_account_id = old.id)
            and t.deleted_at is not null;
        return old;
      end $$;
      create trigger accounts_release before delete on accounts for each row execute function accounts_release();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
