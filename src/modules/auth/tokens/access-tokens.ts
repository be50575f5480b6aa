/**
 * Access tokens: JWTs (RFC 7519) in the profile of RFC 9068, signed with ES256, for fifteen minutes.
 *
 * A token says who signed in and by which session; it says nothing of roles, which come from the database at each request. So a
 * removed right is gone at once, and a token that outlives its session (signed out, password changed, reuse detected) is refused.
 *
 * What is verified, and why so strictly. The header must have `alg`, `typ` and `kid` and nothing else: `crit`, `b64`, `jwk`, `jku`
 * and `x5u` have each been a way to bring a key or skip a check, and what is not understood must not be passed over. Each segment is canonical
 * base64url, so that a token has one spelling. The key is
 * chosen by `kid` among our own, each good for one algorithm; no second key is tried when the first does not fit. Verified
 * tokens are remembered under a digest of their whole text until they expire, since an ES256 verification costs more than the rest
 * of the request's authentication.
 */
import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type JwtModuleOptions, JwtSecretRequestType, JwtService } from '@nestjs/jwt';
import { z } from 'zod';
import { KeyRing, type TokenKey } from '../../../infrastructure/keyring/keyring.js';
import { decodeBase64url } from '../../../kernel/base64.js';
import { BoundedCache, cacheKeyOf } from '../../../kernel/bounded-cache.js';
import { Clock } from '../../../kernel/clock.js';

/** Of this product, not of an address: tokens are verified by the server that issued them, and addresses change. */
const TOKEN_ISSUER = 'taskyard';
const TOKEN_AUDIENCE = 'taskyard';
export const ACCESS_TOKEN_SECONDS = 15 * 60;

const TOKEN_TYPE = 'at+jwt';
const LONGEST_TOKEN = 4096;
const MAX_ENTRIES = 10_000;
/** Two replicas' clocks may differ by this much. */
const CLOCK_TOLERANCE_SECONDS = 5;

const headerSchema = z.strictObject({
  alg: z.literal('ES256'),
  typ: z.literal(TOKEN_TYPE),
  kid: z.string().min(1).max(64),
});

const claimsSchema = z.object({
  sub: z.uuid(),
  /** The organisation. */
  org: z.uuid(),
  /** The session: the refresh family this token came from. */
  sid: z.uuid(),
  /** The user's epoch when the token was issued. One greater than the present was issued in a future that a restore undid. */
  epoch: z.number().int().positive(),
  jti: z.string(),
  exp: z.number().int(),
});

export interface Session {
  organizationId: string;
  userId: string;
  familyId: string;
  epoch: number;
}

@Injectable()
export class AccessTokens {
  readonly #verified: BoundedCache<Session>;

  constructor(
    private readonly jwt: JwtService,
    private readonly ring: KeyRing,
    private readonly clock: Clock,
  ) {
    this.#verified = new BoundedCache(clock, MAX_ENTRIES);
  }

  /** A signed token for the session. */
  issue(session: Session): string {
    const key = newestKey(this.ring);
    const issuedAt = Math.floor(this.clock.nowMs() / 1000);
    return this.jwt.sign(
      {
        iss: TOKEN_ISSUER,
        aud: TOKEN_AUDIENCE,
        sub: session.userId,
        org: session.organizationId,
        sid: session.familyId,
        epoch: session.epoch,
        jti: randomUUID(),
        iat: issuedAt,
        nbf: issuedAt,
        exp: issuedAt + ACCESS_TOKEN_SECONDS,
      },
      { algorithm: 'ES256', header: { alg: 'ES256', typ: TOKEN_TYPE, kid: key.kid } },
    );
  }

  /** The session that the token stands for, or null, whatever is wrong with it. Whether the session still is, the database says. */
  verify(token: string): Session | null {
    if (token.length > LONGEST_TOKEN) {
      return null;
    }
    const cacheKey = cacheKeyOf(token);
    const remembered = this.#verified.get(cacheKey);
    if (remembered !== null) {
      return remembered;
    }
    const claims = this.#claimsOf(token);
    if (claims === null) {
      return null;
    }
    const session = { organizationId: claims.org, userId: claims.sub, familyId: claims.sid, epoch: claims.epoch };
    this.#verified.set(cacheKey, session, claims.exp * 1000);
    return session;
  }

  #claimsOf(token: string): z.output<typeof claimsSchema> | null {
    try {
      const claims: unknown = this.jwt.verify(token, {
        algorithms: ['ES256'],
        issuer: TOKEN_ISSUER,
        audience: TOKEN_AUDIENCE,
        clockTimestamp: Math.floor(this.clock.nowMs() / 1000),
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
      });
      return claimsSchema.safeParse(claims).data ?? null;
    } catch {
      return null;
    }
  }
}

/**
 * Key objects for `@nestjs/jwt`, made once: a text would be parsed again at each use. The newest signs; the one that a well-formed
 * header names verifies.
 * @throws Error where the header is not exactly one of ours or its key is unknown
 */
export function tokenModuleOptions(ring: KeyRing): JwtModuleOptions {
  return {
    secretOrKeyProvider: (use, token) => {
      if (use === JwtSecretRequestType.SIGN) {
        return newestKey(ring).privateKey;
      }
      const kid = typeof token === 'string' ? keyIdOf(token) : null;
      const key = ring.tokens.find((candidate) => candidate.kid === kid);
      if (key === undefined) {
        throw new Error('no such token key');
      }
      return key.publicKey;
    },
  };
}

function newestKey(ring: KeyRing): TokenKey {
  const [newest] = ring.tokens;
  if (newest === undefined) {
    throw new Error('the key ring has no token key');
  }
  return newest;
}

function keyIdOf(token: string): string | null {
  // All three: the library does not mind a signature that is spelled in another way.
  const [header, claims, signature, ...more] = token.split('.').map(decodeBase64url);
  if (header == null || claims == null || signature == null || more.length > 0) {
    return null;
  }
  const named: unknown = JSON.parse(header.toString('utf8'));
  return headerSchema.safeParse(named).data?.kid ?? null;
}
