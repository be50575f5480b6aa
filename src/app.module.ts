import { type DynamicModule, Global, Module, type Provider } from '@nestjs/common';
import { AppConfig } from './config/app-config.js';
import { DatabaseModule } from './database/database.module.js';
import { AuditTrailModule } from './infrastructure/audit-trail/audit-trail.module.js';
import { BlobStoreModule } from './infrastructure/blob-store/blob-store.module.js';
import { EgressModule } from './infrastructure/egress/egress.module.js';
import { EnvelopeModule } from './infrastructure/envelope/envelope.module.js';
import { EventBusModule } from './infrastructure/event-bus/event-bus.module.js';
import { KeyringModule } from './infrastructure/keyring/keyring.module.js';
import { PasswordsModule } from './infrastructure/passwords/index.js';
import { HttpModule } from './http/http.module.js';
import { Clock, SystemClock } from './kernel/clock.js';
import { Log } from './kernel/log.js';
import { AssetsModule } from './modules/assets/index.js';
import { AuditModule } from './modules/audit/index.js';
import { AgentsModule, DefaultAgentProvisioner } from './modules/agents/index.js';
import { BudgetsModule } from './modules/budgets/index.js';
import { entities } from './modules/entities.js';
import { OrganizationProvisioner, OrganizationsModule } from './modules/organizations/index.js';
import { AuthModule } from './modules/auth/index.js';
import { MessagesModule } from './modules/messages/index.js';
import { SecretsModule } from './modules/secrets/index.js';
import { SchedulesModule } from './modules/schedules/index.js';
import { StreamsModule } from './modules/streams/index.js';
import { ExecutorsModule } from './modules/executors/index.js';
import { RetentionModule } from './modules/retention/index.js';
import { RunsModule } from './modules/runs/index.js';
import { TasksModule } from './modules/tasks/index.js';
import { CallbackPresenter, WebhooksModule } from './modules/webhooks/index.js';
import { NeocuModule } from './surfaces/neocu/neocu.module.js';
import { NlaCallbackPresenter } from './surfaces/nla/nla-callback-presenter.js';
import { NlaModule } from './surfaces/nla/nla.module.js';
import { RecoupableModule } from './surfaces/recoupable/recoupable.module.js';

/** Config, clock and log: what a process is given from outside. */
@Global()
@Module({})
export class ProcessModule {
  static with(config: AppConfig, log: Log, clock: Clock): DynamicModule {
    const providers: Provider[] = [
      { provide: AppConfig, useValue: config },
      { provide: Log, useValue: log },
      { provide: Clock, useValue: clock },
    ];
    return {
      module: ProcessModule,
      providers,
      exports: providers.map((provider) => ('provide' in provider ? provider.provide : provider)),
    };
  }
}

/** What a module declares because it must not import who provides it, bound to that provider. */
@Global()
@Module({
  imports: [AgentsModule],
  providers: [
    { provide: OrganizationProvisioner, useExisting: DefaultAgentProvisioner },
    { provide: CallbackPresenter, useClass: NlaCallbackPresenter },
  ],
  exports: [OrganizationProvisioner, CallbackPresenter],
})
export class BindingsModule {}

/** The composition root: every module, and nothing else. */
@Module({})
export class AppModule {
  static with(config: AppConfig, log: Log, clock: Clock = new SystemClock()): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ProcessModule.with(config, log, clock),
        DatabaseModule.register([...entities]),
        KeyringModule,
        PasswordsModule,
        EnvelopeModule,
        AuditTrailModule,
        EgressModule,
        EventBusModule,
        BlobStoreModule,
        HttpModule,
        BindingsModule,
        OrganizationsModule,
        AuthModule,
        AgentsModule,
        SecretsModule,
        AuditModule,
        MessagesModule,
        StreamsModule,
        RunsModule,
        BudgetsModule,
        AssetsModule,
        RetentionModule,
        SchedulesModule,
        TasksModule,
        ExecutorsModule,
        WebhooksModule,
        NeocuModule,
        RecoupableModule,
        NlaModule,
      ],
    };
  }
}
