/**
 * The closed list of what can be asked for, as `resource:verb`. A route names one (`@Requires`), the policy table grants it
 * to roles, and the verb decides which scope a service may ask for: `read` gives a ReadScope, everything else a WriteScope.
 */
export const READ_ACTIONS = [
  'self:read',
  'organization:read',
  'user:read',
  'team:read',
  'project:read',
  'account:read',
  'api_key:read',
  'agent:read',
  'task:read',
  'message:read',
  'run:read',
  'stream:read',
  'asset:read',
  'schedule:read',
  'budget:read',
  'usage:read',
  'retention:read',
  'webhook:read',
  'delivery:read',
  'secret:read',
  'audit:read',
] as const;

export const WRITE_ACTIONS = [
  'self:update',
  'organization:update',
  'instance:operate',
  'user:manage',
  'team:manage',
  'team:create',
  'project:create',
  'project:manage',
  'account:create',
  'account:manage',
  'api_key:manage',
  'agent:manage',
  'task:create',
  'task:contribute',
  'task:manage',
  'run:create',
  'run:contribute',
  'message:create',
  'asset:contribute',
  'asset:upload',
  'schedule:contribute',
  'budget:manage',
  'retention:manage',
  'webhook:manage',
  'delivery:manage',
  'secret:manage',
  'worker:act',
] as const;

export type ReadAction = (typeof READ_ACTIONS)[number];
export type WriteAction = (typeof WRITE_ACTIONS)[number];
export type Action = ReadAction | WriteAction;
