/**
 * MAY YOU, second half: which rows. A scope is a fact about one actor and one action, made by `readScope` or `writeScope` after
 * the policy said yes; every repository method takes one first. The SQL it stands for is in `database/scope.sql.ts`.
 *
 * A method that changes rows takes a WriteScope, and a ReadScope is not one: a read path that writes does not compile. (The
 * private fields make the classes nominal; a look-alike object is refused by the compiler.)
 */
import { DomainError } from '../kernel/errors.js';
import type { ReadAction, WriteAction } from './actions.js';
import { may, type Actor } from './actor.js';

/**
 * How much of the organisation a scope spans.
 * - `all`: owners, admins and their organisation-wide keys, and the system: every row.
 * - `open`: organisation-wide keys below admin: everything not private, and their own.
 * - `teams`: people and keys held to teams: what teams, shares, visibility and authorship give.
 */
export type ScopeBreadth = 'all' | 'open' | 'teams';

export class ReadScope {
  readonly #actor: Actor;
  readonly #reason: string | null;

  /** @internal made by the functions below only */
  constructor(actor: Actor, reason: string | null = null) {
    this.#actor = actor;
    this.#reason = reason;
  }

  get actor(): Actor {
    return this.#actor;
  }

  get organizationId(): string {
    return this.#actor.organizationId;
  }

  get isSystem(): boolean {
    return this.#reason !== null;
  }

  get reach(): ScopeBreadth {
    if (this.isSystem) {
      return 'all';
    }
    const { role, organizationWide } = this.#actor;
    if (role === 'owner' || role === 'admin') {
      return 'all';
    }
    return organizationWide ? 'open' : 'teams';
  }

  /** The user as whom the actor acts; null for a key of its own, and for a key held to teams, which has a user's rights in those only. */
  get actingUserId(): string | null {
    return this.#actor.heldToTeams ? null : this.#actor.userId;
  }

  /** Teams the actor belongs to, in any role: what a team's or a share's readers are. */
  get teamIds(): string[] {
    return [...this.#actor.teams.keys()];
  }

  /** Teams in which the actor is more than a viewer: where a `write` share counts. */
  get activeTeamIds(): string[] {
    return [...this.#actor.teams].filter(([, role]) => role !== 'viewer').map(([id]) => id);
  }

  get maintainedTeamIds(): string[] {
    return [...this.#actor.teams].filter(([, role]) => role === 'maintainer').map(([id]) => id);
  }

  /** A viewer of the organisation writes nothing, by any path, not even what they created. */
  get canWrite(): boolean {
    return (
      this.isSystem || this.#actor.role === 'owner' || this.#actor.role === 'admin' || this.#actor.role === 'member'
    );
  }
}

export class WriteScope extends ReadScope {
  readonly #writes = true;
  readonly #action: WriteAction | null;

  /** @internal made by the functions below only */
  constructor(actor: Actor, reason: string | null, action: WriteAction | null) {
    super(actor, reason);
    this.#action = action;
  }

  /** What the policy was asked; null for work no request asked for. */
  get action(): WriteAction | null {
    return this.#action;
  }

  /** Keeps the class nominal, and lets a test ask. */
  get writes(): boolean {
    return this.#writes;
  }
}

/** The scope of a read; throws `forbidden` where the role does not have the action. */
export function readScope(actor: Actor, action: ReadAction): ReadScope {
  assertMay(actor, action);
  return new ReadScope(actor);
}

/** The scope of a change; throws `forbidden` where the role does not have the action. */
export function writeScope(actor: Actor, action: WriteAction): WriteScope {
  assertMay(actor, action);
  return new WriteScope(actor, null, action);
}

/**
 * A scope without a caller, over one whole organisation, for work no request asked for (sweepers, start-up, sign-in itself).
 * The reason is for the reader of the code; every use is listed in the access snapshot test.
 */
export function unsafelySystemScope(organizationId: string, reason: string): WriteScope {
  return new WriteScope(
    {
      organizationId,
      principalId: NO_PRINCIPAL,
      epoch: 0,
      credentialId: null,
      kind: 'system',
      userId: null,
      creatorId: NO_PRINCIPAL,
      role: 'owner',
      heldToTeams: false,
      teams: new Map(),
      organizationWide: true,
      operatesInstance: false,
      agentIds: null,
    },
    reason,
    null,
  );
}

/** No row has this id. */
const NO_PRINCIPAL = '00000000-0000-0000-0000-000000000000';

function assertMay(actor: Actor, action: ReadAction | WriteAction): void {
  if (!may(actor, action)) {
    throw new DomainError('forbidden', 'Your role does not allow this.', { internal: `${actor.role} lacks ${action}` });
  }
}
