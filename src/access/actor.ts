import type { Action } from './actions.js';
import { POLICY, type Role, type TeamRole } from './policy.js';

/** The request in which an actor acts, as the audit trail tells of it. */
export interface RequestOrigin {
  readonly requestId: string;
  readonly address: string;
  readonly method: string;
  /** The route's template: `/api/v1/teams/:id`. */
  readonly route: string;
  /** What stands in the path, by name. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The id that a body or query names, where the path has none. */
  readonly named: string | null;
  /** The members of the body, by name: what a change was about, without its values. */
  readonly fields: readonly string[];
}

/**
 * A principal with its roles, during one request. Built by authentication from the database (never from a token's claims) and
 * held at most seconds; the epoch in every statement makes a stale one harmless.
 */
export interface Actor {
  readonly organizationId: string;
  /** The credential's principal: the key, or the user behind a session. Its epoch guards every statement. */
  readonly principalId: string;
  readonly epoch: number;
  /**
   * What was shown for it: the session of a person, the public id of a key's secret; null where nobody showed anything. Links carry it, so
   * that they end with it.
   */
  readonly credentialId: string | null;
  readonly kind: 'user' | 'api_key' | 'system';
  /** The person behind it: the session's user, or the user a key is bound to; null for a key of its own. */
  readonly userId: string | null;
  /** Whose creations are "mine": the user where the principal acts as one, else the principal. */
  readonly creatorId: string;
  /** The organisation role: capped by the user's for a bound key, and by `member` for a key held to teams. */
  readonly role: Role;
  /** True for a key with `team_ids`. Such a key never acts as its user: what the user made or was asked elsewhere is not the key's. */
  readonly heldToTeams: boolean;
  /** Role by team; for a key with `team_ids`, those teams only. */
  readonly teams: ReadonlyMap<string, TeamRole>;
  /** True for a key that names no teams and no user: it stands beside the teams and sees all that is not private. */
  readonly organizationWide: boolean;
  /** True for the bootstrap key and the owners of the first organisation. */
  readonly operatesInstance: boolean;
  /** For `worker` keys held to some agents: their ids; null is any. */
  readonly agentIds: readonly string[] | null;
  /** Where this request comes from; absent where no request does. */
  readonly origin?: RequestOrigin;
}

/** True where the actor's role grants the action at all; which rows is the scope's affair. */
export function may(actor: Actor, action: Action): boolean {
  return POLICY[actor.role].has(action) && (action !== 'instance:operate' || actor.operatesInstance);
}
