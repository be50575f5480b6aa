import { ApiKeyAgentEntity, ApiKeyEntity, ApiKeySecretEntity, ApiKeyTeamEntity } from './keys/api-key.entity.js';
import { LoginThrottleEntity, RefreshFamilyEntity, RefreshTokenEntity } from './sessions/session.entity.js';

/** The tables this module owns. */
export const authEntities = [
  ApiKeyEntity,
  ApiKeySecretEntity,
  ApiKeyTeamEntity,
  ApiKeyAgentEntity,
  RefreshFamilyEntity,
  RefreshTokenEntity,
  LoginThrottleEntity,
] as const;
