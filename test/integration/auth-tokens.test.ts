import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { KeyRing, type TokenKey } from '../../src/infrastructure/keyring/keyring.js';
import { UrlSigner } from '../../src/infrastructure/signed-urls/url-signer.js';
import { PASSWORD, makeYard, type Yard } from '../support/actors.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
let key: TokenKey;
let genuine: string;
let refreshToken: string;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
  const [newest] = server.app.get(KeyRing).tokens;
  if (newest === undefined) throw new Error('no token key');
  key = newest;
  const reply = await server.call('POST', '/api/v1/auth/login', {
    as: null,
    body: { email: yard.member.email, password: PASSWORD },
  });
  genuine = reply.body.access_token;
  refreshToken = reply.body.refresh_token;
});

afterAll(async () => {
  await server.stop();
});

const status = async (token: string): Promise<number> => (await server.call('GET', '/api/v1/me', { as: token })).status;
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const es256 = (privateKey: KeyObject) => (input: string) =>
  sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url');

/** The genuine token with parts of it changed, and signed again as it should be unless told otherwise. */
function forged(changes: { header?: object; claims?: object; signature?: (input: string) => string }): string {
  const header = { ...decodeProtectedHeader(genuine), ...changes.header };
  const claims = { ...decodeJwt(genuine), ...changes.claims };
  const input = `${encoded(header)}.${encoded(claims)}`;
  return `${input}.${(changes.signature ?? es256(key.privateKey))(input)}`;
}

describe('an access token', () => {
  it('is what the published keys verify', async () => {
    const jwks = await server.call('GET', '/.well-known/jwks.json', { as: null });
    expect(jwks.status).toBe(200);
    expect(jwks.body.keys[0]).toEqual({
      kty: 'EC',
      crv: 'P-256',
      x: expect.any(String),
      y: expect.any(String),
      kid: key.kid,
      use: 'sig',
      alg: 'ES256',
    });
    expect(jwks.headers.get('cache-control')).toContain('max-age');
    const { payload, protectedHeader } = await jwtVerify(genuine, createLocalJWKSet(jwks.body), {
      issuer: 'taskyard',
      audience: 'taskyard',
    });
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: key.kid });
    expect(payload).toMatchObject({ sub: yard.member.id, jti: expect.any(String), epoch: expect.any(Number) });
    expect(Number(payload.exp) - Number(payload.iat)).toBe(900);
    expect(payload).not.toHaveProperty('role');
  });

  it('is taken when it is signed again unchanged, so that the refusals below are of what they change', async () => {
    expect(await status(forged({}))).toBe(200);
  });

  it('is refused with another algorithm, key or header than ours', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const curve = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const secp = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = key.publicKey.export({ format: 'pem', type: 'spki' }).toString();
    const hmac = (secret: string | Buffer) => (input: string) =>
      createHmac('sha256', secret).update(input).digest('base64url');
    const jwk = other.publicKey.export({ format: 'jwk' });
    const tokens: Record<string, string> = {
      'alg none': forged({ header: { alg: 'none' }, signature: () => '' }),
      'alg None with a signature': forged({ header: { alg: 'None' } }),
      'HMAC with the public key as PEM': forged({ header: { alg: 'HS256' }, signature: hmac(pem) }),
      'HMAC with the public key as DER': forged({
        header: { alg: 'HS256' },
        signature: hmac(key.publicKey.export({ format: 'der', type: 'spki' })),
      }),
      'HMAC with a blank before the key': forged({ header: { alg: 'HS256' }, signature: hmac(` ${pem}`) }),
      'another P-256 key': forged({ signature: es256(other.privateKey) }),
      'a key of P-384': forged({
        header: { alg: 'ES384' },
        signature: (input) =>
          sign('sha384', Buffer.from(input), { key: curve.privateKey, dsaEncoding: 'ieee-p1363' }).toString(
            'base64url',
          ),
      }),
      'ES256 named, signed on P-384': forged({ signature: es256(curve.privateKey) }),
      'a key of secp256k1': forged({ signature: es256(secp.privateKey) }),
      RS256: forged({
        header: { alg: 'RS256' },
        signature: (input) => sign('sha256', Buffer.from(input), rsa.privateKey).toString('base64url'),
      }),
      'a signature as DER': forged({
        signature: (input) => sign('sha256', Buffer.from(input), key.privateKey).toString('base64url'),
      }),
      'no kid': forged({ header: { kid: undefined } }),
      'an unknown kid': forged({ header: { kid: 'nobody' } }),
      'a kid that is a path': forged({ header: { kid: '../../../../dev/null' }, signature: hmac('') }),
      'a kid that is an address': forged({ header: { kid: 'http://127.0.0.1:1/key' } }),
      'a kid from the prototype': forged({ header: { kid: 'constructor' } }),
      'a kid that is no text': forged({ header: { kid: [key.kid] } }),
      jku: forged({ header: { jku: 'http://127.0.0.1:1/jwks.json' } }),
      x5u: forged({ header: { x5u: 'http://127.0.0.1:1/cert.pem' } }),
      'an embedded jwk': forged({ header: { jwk }, signature: es256(other.privateKey) }),
      'an embedded jwk without kid': forged({ header: { jwk, kid: undefined }, signature: es256(other.privateKey) }),
      crit: forged({ header: { crit: ['exp'] } }),
      'an empty crit': forged({ header: { crit: [] } }),
      b64: forged({ header: { b64: false, crit: ['b64'] } }),
      cty: forged({ header: { cty: 'JWT' } }),
    };
    for (const [name, token] of Object.entries(tokens)) {
      expect([name, await status(token)]).toEqual([name, 401]);
    }
  });

  it('is refused when it is not exactly three well-formed segments', async () => {
    const [header = '', claims = '', signature = ''] = genuine.split('.');
    const tokens: Record<string, string> = {
      'a fourth segment': `${genuine}.${signature}`,
      'five segments': `${genuine}.a.b`,
      'two segments': `${header}.${claims}`,
      'an empty signature': `${header}.${claims}.`,
      'a shortened signature': genuine.slice(0, -3),
      'a longer signature': `${genuine}AAAA`,
      'a cut header': genuine.slice(2),
      'empty claims': `${header}..${signature}`,
      'claims that are no JSON': `${header}.e30x.${signature}`,
      'a header that is no object': `${encoded('x')}.${claims}.${signature}`,
      'only dots': '..',
      'too long': `${header}.${'A'.repeat(6000)}.${signature}`,
      'another’s claims': `${header}.${encoded({ ...decodeJwt(genuine), sub: yard.admin.id })}.${signature}`,
    };
    for (const [name, token] of Object.entries(tokens)) {
      expect([name, await status(token)]).toEqual([name, 401]);
    }
  });

  it('is refused when a segment is spelled in another way than the one', async () => {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const [header = '', claims = '', signature = ''] = genuine.split('.');
    const bytes = Buffer.from(signature, 'base64url');
    const spellings = Array.from(letters)
      .map((letter) => signature.slice(0, -1) + letter)
      .filter((text) => text !== signature && Buffer.from(text, 'base64url').equals(bytes));
    expect(spellings.length).toBeGreaterThan(2);
    for (const other of [...spellings, `${signature}=`, `${signature}==`]) {
      expect([other, await status(`${header}.${claims}.${other}`)]).toEqual([other, 401]);
    }
    expect(await status(genuine)).toBe(200);
  });

  it('is refused when one claim alone is not what it must be', async () => {
    const nowSeconds = Math.floor(server.clock.nowMs() / 1000);
    const changes: Record<string, object> = {
      'exp past': { exp: nowSeconds - 10 },
      'exp missing': { exp: undefined },
      'exp as text': { exp: String(nowSeconds + 900) },
      'nbf ahead': { nbf: nowSeconds + 60 },
      'aud of another': { aud: 'elsewhere' },
      'aud missing': { aud: undefined },
      'iss of another': { iss: 'http://localhost:3000' },
      'iss missing': { iss: undefined },
      'sub of a stranger': { sub: yard.stranger.id },
      'sub that is no id': { sub: 'admin' },
      'org of another': { org: randomUUID() },
      'sid of nobody': { sid: randomUUID() },
      'sid missing': { sid: undefined },
      'an epoch yet to come': { epoch: 2_000_000 },
    };
    for (const [name, claims] of Object.entries(changes)) {
      expect([name, await status(forged({ claims }))]).toEqual([name, 401]);
    }
    for (const typ of ['JWT', 'jwt', 'AT+JWT', 'application/at+jwt', 'refresh+jwt', undefined]) {
      expect([typ, await status(forged({ header: { typ } }))]).toEqual([typ, 401]);
    }
  });

  it('is no key, and neither a refresh token nor a link’s signature is an access token', async () => {
    const link = new URLSearchParams(
      server.app.get(UrlSigner).sign({
        purpose: 'stream:get',
        resource: randomUUID(),
        issuer: yard.member.id,
        organization: randomUUID(),
        credential: null,
        expiresAtMs: server.clock.nowMs() + 60_000,
      }),
    );
    expect(await status(refreshToken)).toBe(401);
    expect(await status(String(link.get('signature')))).toBe(401);
    expect((await server.call('GET', `/api/v1/me?${link.toString()}`, { as: null })).status).toBe(401);
    expect((await server.call('GET', '/api/v1/me', { as: { header: 'x-api-key', value: genuine } })).status).toBe(401);
  });

  it('ends after fifteen minutes, though it was just used', async () => {
    expect(await status(genuine)).toBe(200);
    server.clock.advance(15 * 60_000 + 10_000);
    expect(await status(genuine)).toBe(401);
  });
});
