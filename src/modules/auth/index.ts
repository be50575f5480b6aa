export { AuthModule } from './auth.module.js';
export { ActorLoader } from './credentials/actor-loader.js';
export { Bootstrap, type BootstrapOutcome } from './bootstrap/bootstrap.service.js';
export { Recovery, RecoveryRefused } from './recovery/recovery.service.js';
export { RecoveryModule } from './recovery/recovery.module.js';
export { authEntities } from './auth.entities.js';
