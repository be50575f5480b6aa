import { Body, Controller, Get, HttpCode, Ip, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../../access/index.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { ME_EXAMPLE, type Me, type PasswordChange, meSchema, passwordChange } from './me.schema.js';
import { MeService } from './me.service.js';

@ApiTags('Sign-in')
@ApiBearerAuth('bearer')
@Controller('api/v1/me')
export class MeController {
  constructor(private readonly me: MeService) {}

  @Get()
  @Requires('self:read')
  @ApiOperation({
    summary: 'Get the current user or API key',
    description:
      'Returns the user or API key that the credential stands for, with its role and the actions that the role allows.',
  })
  @ApiZodResponse(200, meSchema, { description: 'The caller.', example: ME_EXAMPLE })
  get(@CurrentActor() actor: Actor): Promise<Me> {
    return this.me.get(actor);
  }

  @Post('password')
  @HttpCode(204)
  @BodyLimit('small')
  @Requires('self:update')
  @ApiOperation({
    summary: 'Change your password',
    description:
      'Ends every session of the caller, this one included, with the links that were made in them and their open streams.',
  })
  @ApiZodResponse(204, null, { description: 'The password is changed; sign in again.' })
  @ApiProblemResponses('rate-limited')
  async changePassword(
    @CurrentActor() actor: Actor,
    @Body({ schema: passwordChange }) body: PasswordChange,
    @Ip() address: string,
  ): Promise<void> {
    await this.me.changePassword(actor, body, address);
  }
}
