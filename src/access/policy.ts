import type { Action } from './actions.js';

/**
 * MAY YOU, first half: which role may ask for which action at all. The second half, which rows, is the scope.
 *
 * The table is layered: each layer adds to the one below, so a viewer's rights are provably a subset of a member's, a member's
 * of an admin's. `worker` stands apart: it holds the worker routes and uploads to its runs, and only admin and owner include it.
 */
export const ROLES = ['owner', 'admin', 'member', 'viewer', 'worker'] as const;
export type Role = (typeof ROLES)[number];

/** Roles a person can have; `worker` is for keys. */
export const USER_ROLES = ['owner', 'admin', 'member', 'viewer'] as const;
export type UserRole = (typeof USER_ROLES)[number];

const VIEWER: readonly Action[] = [
  'self:read',
  'self:update',
  'organization:read',
  'user:read',
  'team:read',
  'project:read',
  'account:read',
  'agent:read',
  'task:read',
  'message:read',
  'run:read',
  'stream:read',
  'asset:read',
  'schedule:read',
  'usage:read',
];

const MEMBER: readonly Action[] = [
  ...VIEWER,
  // Names alone, for whoever writes a task; nobody reads a value.
  'secret:read',
  // A maintainer of a team changes its members; the scope holds it to teams the actor maintains.
  'team:manage',
  'project:create',
  'project:manage',
  'account:create',
  'account:manage',
  'task:create',
  'task:contribute',
  'task:manage',
  'run:create',
  'run:contribute',
  'message:create',
  'asset:contribute',
  'asset:upload',
  'schedule:contribute',
];

// What a worker uploads, it uploads to runs that it holds.
const WORKER: readonly Action[] = ['self:read', 'worker:act', 'asset:upload'];

const ADMIN: readonly Action[] = [
  ...MEMBER,
  ...WORKER,
  'organization:update',
  'user:manage',
  'team:create',
  'api_key:read',
  'api_key:manage',
  'agent:manage',
  'budget:read',
  'budget:manage',
  'retention:read',
  'retention:manage',
  'webhook:read',
  'webhook:manage',
  'delivery:read',
  'delivery:manage',
  'secret:manage',
  'audit:read',
  // The bootstrap key is an admin's; only it and the owners of the first organisation have `Actor.operatesInstance`, which `may` asks.
  'instance:operate',
];

const OWNER: readonly Action[] = [...ADMIN];

/** Role by action. `instance:operate` is further held to who operates the instance (see `Actor.operatesInstance`). */
export const POLICY: Readonly<Record<Role, ReadonlySet<Action>>> = {
  owner: new Set(OWNER),
  admin: new Set(ADMIN),
  member: new Set(MEMBER),
  viewer: new Set(VIEWER),
  worker: new Set(WORKER),
};

/** Roles from least to most, for capping one role by another. `worker` is not on this ladder. */
const LADDER: readonly UserRole[] = ['viewer', 'member', 'admin', 'owner'];

/** The lesser of two roles; `worker` with anything but admin and owner leaves nothing, so it is null. */
export function minRole(role: Role, cap: UserRole): Role | null {
  if (role === 'worker') {
    return cap === 'admin' || cap === 'owner' ? 'worker' : null;
  }
  return LADDER.indexOf(role) <= LADDER.indexOf(cap) ? role : cap;
}

/** True where `role` may hand out or touch `other`: nobody manages a role above their own. */
export function canManageRole(role: Role, other: Role): boolean {
  if (other === 'worker') {
    return role === 'admin' || role === 'owner';
  }
  return role !== 'worker' && LADDER.indexOf(role) >= LADDER.indexOf(other);
}

/** Roles inside one team. */
export const TEAM_ROLES = ['maintainer', 'member', 'viewer'] as const;
export type TeamRole = (typeof TEAM_ROLES)[number];

/** The role of the two that gives less. */
export function lesserTeamRole(one: TeamRole, other: TeamRole): TeamRole {
  return TEAM_ROLES.indexOf(one) > TEAM_ROLES.indexOf(other) ? one : other;
}
