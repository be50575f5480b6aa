/**
 * Where a credential may stand: the headers `api-key`, `apikey` and `x-api-key`, and `Authorization: Bearer`. Passport finds it
 * there, and nothing more: no strategy compares, rejects or reads the database, since `passport-headerapikey` leaves comparison to
 * its callback, builds a regular expression from its prefix and does not catch a callback that rejects. So header names are fixed
 * and lower-case, the prefix is empty, and `validate` hands back what was sent.
 */
import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import passport from 'passport';
import { HeaderAPIKeyStrategy } from 'passport-headerapikey';

/** Request headers as Node gives them. A request that repeats one of those read here has been refused (http/connections/unclear-requests.ts). */
export interface CredentialHeaders {
  headers: Readonly<Record<string, string | string[] | undefined>>;
}

@Injectable()
export class ApiKeyHeaderStrategy extends PassportStrategy(HeaderAPIKeyStrategy, 'api-key') {
  constructor() {
    super({ header: 'api-key', prefix: '' }, false);
  }

  validate(key: string): string {
    return key;
  }
}

@Injectable()
export class ApikeyHeaderStrategy extends PassportStrategy(HeaderAPIKeyStrategy, 'apikey') {
  constructor() {
    super({ header: 'apikey', prefix: '' }, false);
  }

  validate(key: string): string {
    return key;
  }
}

@Injectable()
export class XApiKeyHeaderStrategy extends PassportStrategy(HeaderAPIKeyStrategy, 'x-api-key') {
  constructor() {
    super({ header: 'x-api-key', prefix: '' }, false);
  }

  validate(key: string): string {
    return key;
  }
}

/** RFC 6750, section 2.1, and only that: the ways through body and query (2.2, 2.3) end up in logs and histories. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i;

class BearerHeader extends passport.Strategy {
  constructor(private readonly verify: (token: string, done: (error: unknown, token: string) => void) => void) {
    super();
  }

  override authenticate(request: CredentialHeaders): void {
    const [, token] = BEARER.exec(String(request.headers['authorization'] ?? '')) ?? [];
    if (token === undefined) {
      this.fail(400);
      return;
    }
    this.verify(token, (_error, found) => this.success(found));
  }
}

@Injectable()
export class BearerStrategy extends PassportStrategy(BearerHeader, 'authorization') {
  validate(token: string): string {
    return token;
  }
}

/** The strategies by the header that each reads, which is also its name. */
export const CREDENTIAL_HEADERS = ['api-key', 'apikey', 'x-api-key', 'authorization'] as const;
export type CredentialHeader = (typeof CREDENTIAL_HEADERS)[number];

export const HEADER_STRATEGIES = [ApiKeyHeaderStrategy, ApikeyHeaderStrategy, XApiKeyHeaderStrategy, BearerStrategy];

/**
 * What the strategy found in its header; null where the header holds nothing usable. It is shown the headers alone, so that no
 * credential can come from anywhere else.
 */
export async function credentialIn(header: CredentialHeader, { headers }: CredentialHeaders): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const done = (error: unknown, found: unknown): void => {
      if (error !== null && error !== undefined) {
        reject(error instanceof Error ? error : new Error('a header strategy failed', { cause: error }));
      } else {
        resolve(typeof found === 'string' ? found : null);
      }
    };
    const authenticate: unknown = passport.authenticate(header, { session: false }, done);
    if (authenticate instanceof Function) {
      Reflect.apply(authenticate, null, [{ headers }, {}, done]);
    }
  });
}
