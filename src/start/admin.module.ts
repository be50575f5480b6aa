import { type DynamicModule, Global, Module } from '@nestjs/common';
import type { WriteScope } from '../access/index.js';
import { ProcessModule } from '../app.module.js';
import type { AppConfig } from '../config/app-config.js';
import { DatabaseModule } from '../database/database.module.js';
import type { Tx } from '../database/database.js';
import { AuditTrailModule } from '../infrastructure/audit-trail/audit-trail.module.js';
import { KeyringModule } from '../infrastructure/keyring/keyring.module.js';
import { PasswordsModule } from '../infrastructure/passwords/index.js';
import { SystemClock } from '../kernel/clock.js';
import type { Log } from '../kernel/log.js';
import { AuditVerificationModule } from '../modules/audit/index.js';
import { RecoveryModule } from '../modules/auth/index.js';
import { entities } from '../modules/entities.js';
import { OrganizationProvisioner } from '../modules/organizations/index.js';

/** The command line makes no organisations, so it needs nothing that they start with. */
class NoOrganizationProvisioner extends OrganizationProvisioner {
  override prepare(_tx: Tx, _scope: WriteScope): Promise<never> {
    throw new Error('the command line makes no organisation');
  }
}

@Global()
@Module({
  providers: [{ provide: OrganizationProvisioner, useClass: NoOrganizationProvisioner }],
  exports: [OrganizationProvisioner],
})
class NoSetupModule {}

/** What `npm run admin` needs of the server: its database, its keys, recovery, and what verifies the audit trail. No routes, no workers, no bootstrap. */
@Module({})
export class AdminModule {
  static with(config: AppConfig, log: Log): DynamicModule {
    return {
      module: AdminModule,
      imports: [
        ProcessModule.with(config, log, new SystemClock()),
        DatabaseModule.register([...entities]),
        KeyringModule,
        PasswordsModule,
        AuditTrailModule,
        NoSetupModule,
        RecoveryModule,
        AuditVerificationModule,
      ],
    };
  }
}
