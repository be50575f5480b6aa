import { AgentEntity } from './agents/index.js';
import { AssetEntity, AssetPartEntity, AssetTotalsEntity } from './assets/index.js';
import { authEntities } from './auth/index.js';
import { BudgetEntity } from './budgets/index.js';
import { MessageEntity } from './messages/index.js';
import {
  AccountEntity,
  OrganizationEntity,
  PrincipalEntity,
  ProjectEntity,
  ProjectShareEntity,
  TeamEntity,
  TeamMemberEntity,
  UserEntity,
} from './organizations/index.js';
import { RetentionPolicyEntity } from './retention/index.js';
import { RunAttemptEntity, RunEntity, TaskCounterEntity } from './runs/index.js';
import { SecretEntity } from './secrets/index.js';
import { ScheduleEntity, ScheduleSlotEntity } from './schedules/index.js';
import { TaskEntity, TaskShareEntity } from './tasks/index.js';
import { WebhookEndpointEntity } from './webhooks/index.js';

/** Every entity of every module; the data source is built from this list, and a test holds it against the migrations. */
export const entities = [
  AccountEntity,
  AgentEntity,
  AssetEntity,
  AssetPartEntity,
  AssetTotalsEntity,
  BudgetEntity,
  MessageEntity,
  OrganizationEntity,
  PrincipalEntity,
  ProjectEntity,
  ProjectShareEntity,
  RetentionPolicyEntity,
  RunAttemptEntity,
  RunEntity,
  ScheduleEntity,
  ScheduleSlotEntity,
  SecretEntity,
  TaskCounterEntity,
  TaskEntity,
  TaskShareEntity,
  TeamEntity,
  TeamMemberEntity,
  UserEntity,
  WebhookEndpointEntity,
  ...authEntities,
] as const;
