import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { AccessGuard } from './guards/access.guard.js';
import { JsonArrayStream } from './pagination/json-array-stream.js';
import { DeclaredInputGuard } from './guards/declared-input.guard.js';
import { ErrorPresenters } from './filters/error-presenter.js';
import { FreshActorInterceptor } from './interceptors/fresh-actor.interceptor.js';
import { HealthController } from './health/health.controller.js';
import { HeavyReads } from './interceptors/heavy-reads.js';
import { IdempotencySweeper } from './idempotency/idempotency-sweeper.js';
import { ParsingBudget } from './body/json/parsing-budget.js';
import { PublicUrl } from './request/public-url.js';
import { SharedAddress } from './connections/shared-address.js';

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
