import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { AccessGuard } from './access.guard.js';
import { JsonArrayStream } from './array-reply.js';
import { DeclaredInputGuard } from './declared-input.guard.js';
import { ErrorPresenters } from './error-presenter.js';
import { FreshActorInterceptor } from './fresh-actor.interceptor.js';
import { HealthController } from './health.controller.js';
import { HeavyReads } from './heavy-reads.js';
import { IdempotencySweeper } from './idempotency-sweep.js';
import { ParsingBudget } from './json-body/parsing-budget.js';
import { PublicUrl } from './public-url.js';
import { SharedAddress } from './shared-address.js';

/** What every controller stands on. The guard and the interceptor are made global by configure-app.ts. */
@Global()
@Module({
  imports: [DiscoveryModule],
  controllers: [HealthController],
  providers: [
    ErrorPresenters,
    AccessGuard,
    DeclaredInputGuard,
    FreshActorInterceptor,
    PublicUrl,
    JsonArrayStream,
    HeavyReads,
    ParsingBudget,
    IdempotencySweeper,
    SharedAddress,
  ],
  exports: [
    ErrorPresenters,
    AccessGuard,
    DeclaredInputGuard,
    FreshActorInterceptor,
    PublicUrl,
    JsonArrayStream,
    HeavyReads,
    ParsingBudget,
    SharedAddress,
    DiscoveryModule,
  ],
})
export class HttpModule {}
