import { type Actor, type Role, type TeamRole, type UserRole, minRole, lesserTeamRole } from '../../../access/index.js';

/** What the database knows of a principal, in one row. Present only while it is neither disabled nor expired. */
export interface ActorFacts {
  organization_id: string;
  principal_id: string;
  kind: 'user' | 'api_key' | 'system';
  role: Role;
  epoch: number;
  operates_instance: boolean;
  is_bootstrap: boolean;
  /** The user a key is bound to, whether or not that user may still act. */
  bound_user_id: string | null;
  /** The person behind the principal, where there is one who may still act. */
  user_id: string | null;
  user_role: UserRole | null;
  user_teams: Readonly<Record<string, TeamRole>>;
  /** Whether a key is limited to teams, also to teams that are deleted. */
  held_to_teams: boolean;
  key_team_ids: readonly string[];
  /** The most that a key held to teams is in them; null where its role alone decides. */
  key_team_role: TeamRole | null;
  agent_ids: readonly string[];
}

/**
 * The actor that the facts make, for who showed `credentialId`, or null where they leave nothing: the rules for keys of docs/access.md, in one place.
 *
 * | key | role | teams |
 * |---|---|---|
 * | of its own | its own | none: it stands beside them, organisation-wide |
 * | held to teams | its own, at most `member` | those: in its `team_role`, by default as maintainer; as viewer for a viewer |
 * | bound to a user | its own, at most the user's | the user's, as the user |
 * | both | the least of both | the user's that are among those, in at most its `team_role` |
 *
 * A key that is held to teams acts for its user but not as its user: it is the creator of what it makes, and what the user made elsewhere
 * is not its own. One whose teams are all deleted leaves nothing.
 */
export function toActor(facts: ActorFacts, credentialId: string | null): Actor | null {
  if (facts.kind !== 'api_key') {
    return facts.kind === 'user' && facts.user_id === null ? null : personOrSystem(facts, credentialId);
  }
  if (facts.bound_user_id !== null && facts.user_id === null) {
    return null;
  }
  const held = facts.held_to_teams;
  if (held && facts.key_team_ids.length === 0) {
    return null;
  }
  const byUser = facts.user_role === null ? facts.role : minRole(facts.role, facts.user_role);
  if (byUser === null) {
    return null;
  }
  const role = held && byUser !== 'worker' ? (minRole(byUser, 'member') ?? byUser) : byUser;
  return {
    ...identity(facts, credentialId),
    kind: 'api_key',
    userId: facts.user_id,
    creatorId: held ? facts.principal_id : (facts.user_id ?? facts.principal_id),
    role,
    heldToTeams: held,
    teams: teamsOfKey(facts, role),
    organizationWide: !held && facts.user_id === null,
    operatesInstance: facts.is_bootstrap || (facts.operates_instance && role === 'owner'),
    agentIds: role === 'worker' && facts.agent_ids.length > 0 ? facts.agent_ids : null,
  };
}

function personOrSystem(facts: ActorFacts, credentialId: string | null): Actor {
  return {
    ...identity(facts, credentialId),
    kind: facts.kind,
    userId: facts.user_id,
    creatorId: facts.principal_id,
    role: facts.role,
    heldToTeams: false,
    teams: new Map(Object.entries(facts.user_teams)),
    organizationWide: facts.kind === 'system',
    operatesInstance: facts.kind === 'user' && facts.operates_instance && facts.role === 'owner',
    agentIds: null,
  };
}

function identity(
  facts: ActorFacts,
  credentialId: string | null,
): Pick<Actor, 'organizationId' | 'principalId' | 'epoch' | 'credentialId'> {
  return { organizationId: facts.organization_id, principalId: facts.principal_id, epoch: facts.epoch, credentialId };
}

function teamsOfKey(facts: ActorFacts, role: Role): ReadonlyMap<string, TeamRole> {
  const most: TeamRole = role === 'viewer' || role === 'worker' ? 'viewer' : (facts.key_team_role ?? 'maintainer');
  if (facts.user_id === null) {
    return new Map(facts.key_team_ids.map((id) => [id, most]));
  }
  const teams = Object.entries(facts.user_teams);
  const heldTo = new Set(facts.key_team_ids);
  return new Map(
    facts.held_to_teams
      ? teams.filter(([id]) => heldTo.has(id)).map(([id, own]) => [id, lesserTeamRole(own, most)])
      : teams,
  );
}
