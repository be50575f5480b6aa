import { sql } from '../../../src/database/sql.js';
import { join, key, makeYard, PASSWORD, person, signIn, team, type Yard } from '../../support/actors.js';
import { BOOTSTRAP_KEY, type Credential, type TestServer } from '../../support/server.js';
import type { ActorName } from './rights.js';

export interface Actor {
  credential: Credential;
  /** Whose creations are "mine": a user, or a key of its own; null where nobody is behind the credential. */
  creatorId: string | null;
  organization: 'first' | 'second' | null;
  /** True for a person, and for a key that is a person's. */
  isPerson: boolean;
}

export interface Cast {
  yard: Yard;
  actors: Record<ActorName, Actor>;
}

/** The environment of a server whose first organisation has an owner who can sign in. */
export const OWNER = { BOOTSTRAP_ADMIN_EMAIL: 'owner@first.example', BOOTSTRAP_ADMIN_PASSWORD: PASSWORD };

export async function makeCast(server: TestServer): Promise<Cast> {
  const yard = await makeYard(server);
  const { red } = yard.teams;
  // The sharpest viewer: maintainer of a team, and still may change nothing.
  await join(server, red, yard.viewer, 'maintainer');
  const creator = await person(server, 'creator', 'member');
  const ownerToken = await signIn(server, OWNER.BOOTSTRAP_ADMIN_EMAIL);
  const owner = await server.call('GET', '/api/v1/me', { as: ownerToken });

  const ours = (body: object): Promise<Actor> => keyActor(server, body);
  const expired = await ours({ name: 'expired', role: 'admin', expires_at: '2099-01-01T00:00:00Z' });
  await server.database.execute(
    sql`update principals set expires_at = clock_timestamp() - interval '1 minute' where id = ${expired.creatorId}`,
  );
  const revoked = await ours({ name: 'revoked', role: 'admin' });
  await server.call('DELETE', `/api/v1/api-keys/${revoked.creatorId ?? ''}`);
  const gone = await team(server, 'gone');
  const orphaned = await ours({ name: 'held to a deleted team', role: 'admin', team_ids: [gone] });
  await server.database.execute(sql`delete from api_key_teams where api_key_id = ${orphaned.creatorId}`);
  await server.database.execute(sql`update principals set epoch = epoch + 1 where id = ${orphaned.creatorId}`);
  await server.call('DELETE', `/api/v1/teams/${gone}`);
  const member = personActor(yard.member.token, yard.member.id);
  const demoted = await person(server, 'demoted', 'admin');
  const demotedKey = await key(server, { name: 'of demoted', role: 'admin', user_id: demoted.id });
  await server.call('PATCH', `/api/v1/users/${demoted.id}`, { body: { role: 'viewer' } });
  const valid = await ours({ name: 'valid', role: 'admin' });

  return {
    yard,
    actors: {
      nobody: nobody(null),
      badKey: nobody('no key at all'),
      wrongSecret: nobody(changed(textOf(valid))),
      forgedToken: nobody(yard.admin.token.replace(/\.[^.]+$/, '.AAAA')),
      expiredKey: nobody(expired.credential),
      revokedKey: nobody(revoked.credential),
      orphanedKey: nobody(orphaned.credential),
      strangerKey: {
        credential: yard.strangerKey,
        creatorId: await keyIdOf(server, yard.strangerKey),
        organization: 'second',
        isPerson: false,
      },
      strangerOwner: { ...personActor(yard.stranger.token, yard.stranger.id), organization: 'second' },
      viewer: personActor(yard.viewer.token, yard.viewer.id),
      viewerKey: await ours({ name: 'viewer of red', role: 'viewer', team_ids: [red] }),
      outsider: personActor(yard.outsider.token, yard.outsider.id),
      member,
      maintainer: personActor(yard.maintainer.token, yard.maintainer.id),
      creator: personActor(creator.token, creator.id),
      teamKey: await ours({ name: 'held to red', role: 'member', team_ids: [red] }),
      adminTeamKey: await ours({ name: 'admin held to red', role: 'admin', team_ids: [red] }),
      openKey: await ours({ name: 'beside the teams', role: 'member' }),
      boundKey: {
        ...member,
        credential: await key(server, { name: 'of member', role: 'admin', user_id: yard.member.id }),
      },
      heldBoundKey: await ours({ name: 'of member, red', role: 'admin', user_id: yard.member.id, team_ids: [red] }),
      memberTeamKey: await ours({ name: 'member of red', role: 'member', team_ids: [red], team_role: 'member' }),
      noTeamKey: await ours({ name: 'of outsider, red', role: 'member', user_id: yard.outsider.id, team_ids: [red] }),
      demotedKey: { ...personActor(demoted.token, demoted.id), credential: demotedKey },
      workerKey: {
        credential: yard.workerKey,
        creatorId: await keyIdOf(server, yard.workerKey),
        organization: 'first',
        isPerson: false,
      },
      admin: personActor(yard.admin.token, yard.admin.id),
      adminKey: valid,
      owner: personActor(ownerToken, owner.body.user.id),
      operatorKey: {
        credential: BOOTSTRAP_KEY,
        creatorId: await keyIdOf(server, BOOTSTRAP_KEY),
        organization: 'first',
        isPerson: false,
      },
    },
  };
}

function nobody(credential: Credential): Actor {
  return { credential, creatorId: null, organization: null, isPerson: false };
}

function personActor(token: string, id: string): Actor {
  return { credential: token, creatorId: id, organization: 'first', isPerson: true };
}

async function keyActor(server: TestServer, body: object): Promise<Actor> {
  const credential = await key(server, body);
  return { credential, creatorId: await keyIdOf(server, credential), organization: 'first', isPerson: false };
}

async function keyIdOf(server: TestServer, credential: string): Promise<string> {
  const reply = await server.call('GET', '/api/v1/me', { as: credential });
  return reply.body.api_key.id;
}

function textOf({ credential }: Actor): string {
  return typeof credential === 'string' ? credential : '';
}

/** The same key with another secret: the right public id, wrong in the middle. */
function changed(text: string): string {
  const at = 'tyk_'.length + 12 + 8;
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
}
