import { Global, Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { PassportModule } from '@nestjs/passport';
import { KeyRing } from '../../infrastructure/keyring/keyring.js';
import { Authenticator } from '../../http/guards/authenticator.js';
import { OrganizationsModule } from '../organizations/index.js';
import { Bootstrap } from './bootstrap/bootstrap.service.js';
import { BootstrapRepository } from './bootstrap/bootstrap.repository.js';
import { ActorLoader } from './credentials/actor-loader.js';
import { ActorsQuery } from './credentials/actors.query.js';
import { HEADER_STRATEGIES } from './credentials/header.strategies.js';
import { KeyDigests } from './credentials/key-digests.js';
import { KeyVerifier } from './credentials/key-verifier.js';
import { LastUsedTracker } from './credentials/last-used-tracker.js';
import { RequestAuthenticator } from './credentials/request-authenticator.js';
import { FailedAuthLimiter } from './credentials/failed-auth-limiter.js';
import { ApiKeysController } from './keys/api-keys.controller.js';
import { ApiKeysRepository } from './keys/api-keys.repository.js';
import { ApiKeysService } from './keys/api-keys.service.js';
import { MeController } from './me/me.controller.js';
import { MeQuery } from './me/me.query.js';
import { MeService } from './me/me.service.js';
import { AuthController } from './sessions/auth.controller.js';
import { LoginThrottleRepository } from './sessions/login-throttle.repository.js';
import { LoginService } from './sessions/login.service.js';
import { LogoutService } from './sessions/logout.service.js';
import { SessionsRepository } from './sessions/sessions.repository.js';
import { SessionsService } from './sessions/sessions.service.js';
import { SignInQuery } from './sessions/sign-in.query.js';
import { SignInQueue } from './sessions/sign-in-queue.js';
import { SignInSweeper } from './sessions/sign-in-sweeper.js';
import { AccessTokens, tokenModuleOptions } from './tokens/access-tokens.js';
import { JwksController } from './tokens/jwks.controller.js';

/** Who are you. Global, since the access guard of every route asks it. */
@Global()
@Module({
  imports: [
    OrganizationsModule,
    PassportModule.register({ session: false }),
    JwtModule.registerAsync({ inject: [KeyRing], useFactory: tokenModuleOptions }),
  ],
  controllers: [AuthController, MeController, ApiKeysController, JwksController],
  providers: [
    ...HEADER_STRATEGIES,
    ActorsQuery,
    ActorLoader,
    KeyDigests,
    KeyVerifier,
    LastUsedTracker,
    AccessTokens,
    FailedAuthLimiter,
    RequestAuthenticator,
    { provide: Authenticator, useExisting: RequestAuthenticator },
    ApiKeysRepository,
    ApiKeysService,
    SignInQuery,
    SessionsRepository,
    SessionsService,
    LoginThrottleRepository,
    SignInQueue,
    LoginService,
    LogoutService,
    SignInSweeper,
    MeQuery,
    MeService,
    BootstrapRepository,
    Bootstrap,
  ],
  exports: [Authenticator, ActorLoader, Bootstrap],
})
export class AuthModule {}
