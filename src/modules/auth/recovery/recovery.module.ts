import { Module } from '@nestjs/common';
import { OrganizationsModule } from '../../organizations/index.js';
import { KeyDigests } from '../credentials/key-digests.js';
import { ApiKeysRepository } from '../keys/api-keys.repository.js';
import { LoginThrottleRepository } from '../sessions/login-throttle.repository.js';
import { SessionsRepository } from '../sessions/sessions.repository.js';
import { RecoveryQuery } from './recovery.query.js';
import { Recovery } from './recovery.service.js';

/** For the command line only: it has no routes, and the server does not load it. */
@Module({
  imports: [OrganizationsModule],
  providers: [Recovery, RecoveryQuery, ApiKeysRepository, SessionsRepository, LoginThrottleRepository, KeyDigests],
  exports: [Recovery],
})
export class RecoveryModule {}
