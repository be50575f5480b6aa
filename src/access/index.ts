export { READ_ACTIONS, WRITE_ACTIONS, type Action, type ReadAction, type WriteAction } from './actions.js';
export { may, type Actor, type RequestOrigin } from './actor.js';
export {
  POLICY,
  ROLES,
  TEAM_ROLES,
  USER_ROLES,
  minRole,
  lesserTeamRole,
  canManageRole,
  type Role,
  type TeamRole,
  type UserRole,
} from './policy.js';
export { ReadScope, WriteScope, readScope, unsafelySystemScope, writeScope, type ScopeBreadth } from './scope.js';
export { Public, Requires, accessDeclaration, type AccessDeclaration } from './requires.js';
export { isAudited } from './audited.js';
