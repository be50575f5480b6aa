import { Body, Controller, HttpCode, Ip, Post, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Public } from '../../../access/index.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import {
  type LoginRequest,
  type LogoutRequest,
  type RefreshRequest,
  TOKEN_EXAMPLE,
  type TokenReply,
  loginRequest,
  logoutRequest,
  refreshRequest,
  tokenReply,
} from './auth.schema.js';
import { LoginService } from './login.service.js';
import { LogoutService } from './logout.service.js';
import { SessionsService } from './sessions.service.js';

@ApiTags('Sign-in')
@Controller('api/v1/auth')
export class AuthController {
  constructor(
    private readonly logins: LoginService,
    private readonly sessions: SessionsService,
    private readonly logouts: LogoutService,
  ) {}

  @Post('login')
  @HttpCode(200)
  @BodyLimit('small')
  @Public('who signs in has no credential yet')
  @ApiOperation({
    summary: 'Sign in with e-mail and password',
    description:
      'Opens a session. Failed attempts are counted by account and IP address together. If the e-mail and password are right in several ' +
      'organizations, the reply is 409 and names them; send one of them as `organization`.',
    security: [],
  })
  @ApiZodResponse(200, tokenReply, { description: 'A session.', example: TOKEN_EXAMPLE })
  @ApiProblemResponses('invalid-credentials', 'rate-limited', 'conflict')
  login(@Body({ schema: loginRequest }) body: LoginRequest, @Ip() address: string): Promise<TokenReply> {
    return this.logins.login(body, address);
  }

  @Post('refresh')
  @HttpCode(200)
  @BodyLimit('small')
  @Public('the refresh token in the body is the credential')
  @ApiOperation({
    summary: 'Refresh a session',
    description: 'Good for one use. Sent again within ten seconds it gets the same successor; later, the session ends.',
    security: [],
  })
  @ApiZodResponse(200, tokenReply, { description: 'The next tokens of the session.', example: TOKEN_EXAMPLE })
  @ApiProblemResponses('unauthenticated')
  refresh(@Body({ schema: refreshRequest }) body: RefreshRequest): Promise<TokenReply> {
    return this.sessions.refresh(body.refresh_token);
  }

  @Post('logout')
  @HttpCode(204)
  @BodyLimit('small')
  @Public('ends the session that the tokens it brings prove, however little they may still do')
  @ApiOperation({
    summary: 'Sign out',
    description:
      'Its access tokens and the links that were made in it are refused from then on, and its open streams are closed.',
  })
  @ApiZodResponse(204, null, { description: 'The session is over.' })
  @ApiProblemResponses('unauthenticated')
  async logout(@Body({ schema: logoutRequest }) body: LogoutRequest, @Req() request: FastifyRequest): Promise<void> {
    await this.logouts.logout(body, request);
  }
}
