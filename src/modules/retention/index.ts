export { RetentionModule } from './retention.module.js';
export { RetentionPolicyEntity } from './retention-policy.entity.js';
export { RetentionSweeper } from './retention-sweeper.js';
