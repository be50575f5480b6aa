import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { RequestAuthenticator } from '../credentials/request-authenticator.js';
import type { LogoutRequest } from './auth.schema.js';
import { SessionsService } from './sessions.service.js';

@Injectable()
export class LogoutService {
  constructor(
    private readonly authenticator: RequestAuthenticator,
    private readonly sessions: SessionsService,
  ) {}

  /** Ends the session of the refresh token, or of the request's access token. @throws DomainError `unauthenticated` with neither */
  async logout(body: LogoutRequest, request: FastifyRequest): Promise<void> {
    if (body.refresh_token !== undefined) {
      return this.sessions.closeByRefreshToken(body.refresh_token);
    }
    const credential = await this.authenticator.credentialOf(request);
    return this.sessions.closeByAccessToken(credential?.kind === 'token' ? credential.text : '');
  }
}
