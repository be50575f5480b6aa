import { z } from 'zod';

/** Longer than any password that could have been set, so that a wrong one is wrong and not invalid. */
const LONGEST_PASSWORD_ASKED = 1024;

export const loginRequest = z
  .strictObject({
    email: z.string().trim().min(3).max(320),
    password: z.string().min(1).max(LONGEST_PASSWORD_ASKED),
    organization: z
      .string()
      .trim()
      .min(1)
      .max(63)
      .optional()
      .describe(
        'Slug or id of the organization. Required only where the same e-mail and password are right in several organizations.',
      ),
  })
  .meta({ id: 'LoginRequest' });
export type LoginRequest = z.output<typeof loginRequest>;

const refreshToken = z.string().min(1).max(256);

export const refreshRequest = z.strictObject({ refresh_token: refreshToken }).meta({ id: 'RefreshRequest' });
export type RefreshRequest = z.output<typeof refreshRequest>;

export const logoutRequest = z
  .strictObject({
    refresh_token: refreshToken.optional().describe('Without it, the access token of the request names the session.'),
  })
  .prefault({})
  .meta({ id: 'LogoutRequest' });
export type LogoutRequest = z.output<typeof logoutRequest>;

export const tokenReply = z
  .object({
    access_token: z.string().describe('A JWT, to be sent as `Authorization: Bearer`.'),
    refresh_token: z.string().describe('Good for one use; the reply to it has the next.'),
    token_type: z.literal('Bearer'),
    expires_in: z.number().int().describe('Seconds that the access token lasts.'),
  })
  .meta({ id: 'Tokens' });
export type TokenReply = z.output<typeof tokenReply>;

export const TOKEN_EXAMPLE: TokenReply = {
  access_token: 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjRmMmE5YzFiIn0.eyJpc3MiOiJ0YXNreWFyZCJ9.c2lnbmF0dXJl',
  refresh_token: 'tyr_7Yb0mQkq3JvXf2LwZ8sNcT1dRh5GpUaE9oV4iKx6MyBCdEf1a2',
  token_type: 'Bearer',
  expires_in: 900,
};
