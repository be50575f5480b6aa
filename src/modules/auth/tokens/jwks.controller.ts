import { Controller, Get, Header } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { exportJWK } from 'jose';
import { z } from 'zod';
import { Public } from '../../../access/index.js';
import { KeyRing } from '../../../infrastructure/keyring/keyring.js';
import { AnyQuery } from '../../../http/guards/declared-input.guard.js';
import { ApiZodResponse } from '../../../http/decorators/api-zod-response.js';

const keySchema = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  kid: z.string(),
  use: z.literal('sig'),
  alg: z.literal('ES256'),
});

const jwksSchema = z.object({ keys: z.array(keySchema) }).meta({ id: 'JsonWebKeySet' });

const EXAMPLE = {
  keys: [
    {
      kty: 'EC',
      crv: 'P-256',
      x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
      kid: '4f2a9c1be03d77a5c1',
      use: 'sig',
      alg: 'ES256',
    },
  ],
};

@ApiTags('Sign-in')
@Controller('.well-known')
@AnyQuery()
export class JwksController {
  constructor(private readonly ring: KeyRing) {}

  @Get('jwks.json')
  @Public('public keys, for whoever wants to check an access token')
  @Header('cache-control', 'public, max-age=300')
  @ApiOperation({
    summary: 'Get the public keys of access tokens (RFC 7517)',
    description:
      'Returns the JSON Web Key Set that verifies the access tokens of this server, so that other services can check them on their own.',
    security: [],
  })
  @ApiZodResponse(200, jwksSchema, {
    description: 'Every key that signs or has signed a token still valid.',
    example: EXAMPLE,
  })
  async keys(): Promise<z.output<typeof jwksSchema>> {
    const keys = this.ring.tokens.map(async ({ kid, publicKey }) => ({
      ...(await exportJWK(publicKey)),
      kid,
      use: 'sig',
      alg: 'ES256',
    }));
    return jwksSchema.parse({ keys: await Promise.all(keys) });
  }
}
