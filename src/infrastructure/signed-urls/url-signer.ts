import type { Clock } from '../../kernel/clock.js';
import { DomainError } from '../../kernel/errors.js';
import { isId } from '../../kernel/ids.js';
import { SigningKeys, type SigningKey } from './signing-keys.js';

export interface LinkGrant {
  /** What the link may be used for, method included, such as `asset:get`. Not in the URL: the route that verifies knows it. */
  purpose: string;
  /** The id in the path. Not in the query: the route that verifies reads it there. */
  resource: string;
  /** The principal that asked for the link; its present rights are looked up at every use. */
  issuer: string;
  organization: string;
  /**
   * The credential of the issuer that the link was asked for with, by `Actor.credentialId`: whether that still stands is looked up at every use
   * as well. Null where it was asked for with none.
   */
  credential: string | null;
  /** Milliseconds since the epoch; the link counts whole seconds and never outlives this. */
  expiresAtMs: number;
  /** What else the link fixes (a disposition, an epoch, a byte limit): readable, signed, each name once. */
  extras?: readonly LinkExtra[];
}

export type LinkExtra = readonly [name: string, value: string];

export interface VerifiedLink {
  issuer: string;
  organization: string;
  /** Null in links of earlier versions as well. */
  credential: string | null;
  expiresAtMs: number;
  /** In the order of their names. */
  extras: readonly LinkExtra[];
}

const OWN_PARAMETERS = new Set(['expires', 'issuer', 'organization', 'credential', 'key', 'signature']);
/** A UUID, or the public id of a secret. */
const CREDENTIAL = /^[A-Za-z0-9._-]{1,64}$/;
const EXTRA_NAME = /^[a-z][a-z0-9_]{0,31}$/;
const UNIX_SECONDS = /^[1-9][0-9]{0,10}$/;
const MAX_EXTRAS = 16;
const MAC_PURPOSE = 'signed-url/1';

/**
 * Links that carry a narrow right of their own: one purpose, one resource, until one moment.
 *
 * A link proves who issued it, for what, and until when; it does not prove that the issuer may still do it. Whoever verifies one
 * acts as its issuer, with the rights the issuer has now, so a revoked key's links die with it. It also names the session or the secret it was
 * asked for with, so that it ends with that: after a sign-out or a rotation, nothing made before goes on. A link needs no row, may be used
 * again until it expires, and is no access token: its MAC is made for this use alone and verifies nowhere else.
 *
 * Everything in the query is signed, so a parameter that is added, dropped, repeated, renamed or moved makes the link invalid. A
 * route that takes parameters of its own beside a link (a cursor, a format) takes them out before it verifies the rest.
 */
export class UrlSigner {
  private readonly keys: SigningKeys;

  /** @param keys the first signs, all verify; at least 32 secret bytes each. @throws TypeError as `SigningKeys` does */
  constructor(
    keys: readonly SigningKey[],
    private readonly clock: Clock,
  ) {
    this.keys = new SigningKeys(keys);
  }

  /**
   * The query string of a link, without `?`.
   *
   * @throws TypeError when the grant is malformed (ids that are no UUIDs, extras of a reserved or repeated name): a bug, since
   * nothing here comes from outside unparsed.
   */
  sign(grant: LinkGrant): string {
    requireWellFormed(grant);
    const extras = inOrder(grant.extras ?? []);
    const expires = String(Math.floor(grant.expiresAtMs / 1000));
    const key = this.keys.signingKeyId;
    const signature = this.keys.sign(
      MAC_PURPOSE,
      signedFields(grant.purpose, grant.resource, { ...grant, expires, key, extras }),
    );
    // Ids, digits and base64url need no escaping; only the extras may.
    const { issuer, organization, credential } = grant;
    const bound = credential === null ? '' : `&credential=${credential}`;
    const escaped = extras.map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join('');
    return `expires=${expires}&issuer=${issuer}&organization=${organization}${bound}${escaped}&key=${key}&signature=${signature}`;
  }

  /**
   * Checks the parsed query of a request against the purpose and resource of the route it came to.
   *
   * @param params every query parameter; a repeated one arrives as an array and is refused
   * @throws DomainError `unauthenticated`, always the same, whatever is wrong.
   */
  verify(purpose: string, resource: string, params: Readonly<Record<string, unknown>>): VerifiedLink {
    const link = readParameters(params);
    if (link === null) throw invalidLink();
    const genuine = this.keys.verify(link.key, MAC_PURPOSE, signedFields(purpose, resource, link), link.signature);
    const expiresAtMs = Number(link.expires) * 1000;
    if (!genuine || this.clock.nowMs() >= expiresAtMs) throw invalidLink();
    const { issuer, organization, credential, extras } = link;
    return { issuer, organization, credential, expiresAtMs, extras };
  }
}

interface SignedParameters {
  expires: string;
  issuer: string;
  organization: string;
  credential: string | null;
  key: string;
  extras: readonly LinkExtra[];
}

/** The order is fixed; the number of extras is signed too, so the list has one reading only, with a credential at its end and without. */
function signedFields(purpose: string, resource: string, parameters: SignedParameters): string[] {
  const { key, expires, issuer, organization, credential, extras } = parameters;
  const fields = [purpose, resource, key, expires, issuer, organization, String(extras.length), ...extras.flat()];
  return credential === null ? fields : [...fields, credential];
}

function readParameters(params: Readonly<Record<string, unknown>>): (SignedParameters & { signature: string }) | null {
  const { expires, issuer, organization, credential = null, key, signature, ...rest } = params;
  if (typeof expires !== 'string' || !UNIX_SECONDS.test(expires)) return null;
  if (typeof issuer !== 'string' || typeof organization !== 'string' || !isId(issuer) || !isId(organization))
    return null;
  if (credential !== null && (typeof credential !== 'string' || !CREDENTIAL.test(credential))) return null;
  if (typeof key !== 'string' || typeof signature !== 'string') return null;
  const extras: LinkExtra[] = [];
  for (const [name, value] of Object.entries(rest)) {
    if (typeof value !== 'string' || !EXTRA_NAME.test(name) || extras.length === MAX_EXTRAS) return null;
    extras.push([name, value]);
  }
  return { expires, issuer, organization, credential, key, signature, extras: inOrder(extras) };
}

function requireWellFormed(grant: LinkGrant): void {
  const { purpose, resource, issuer, organization, credential, expiresAtMs, extras = [] } = grant;
  if (purpose === '') throw new TypeError('a link needs a purpose');
  if (![resource, issuer, organization].every(isId))
    throw new TypeError('a link names its resource, issuer and organization by UUID');
  if (credential !== null && !CREDENTIAL.test(credential)) throw new TypeError('a credential id is malformed');
  if (!UNIX_SECONDS.test(String(Math.floor(expiresAtMs / 1000))))
    throw new TypeError('a link needs a time to expire at');
  if (extras.length > MAX_EXTRAS) throw new TypeError('too many extras for one link');
  if (new Set(extras.map(([name]) => name)).size !== extras.length) throw new TypeError('an extra is named twice');
  for (const [name, value] of extras) {
    if (!EXTRA_NAME.test(name) || OWN_PARAMETERS.has(name)) throw new TypeError(`an extra cannot be named ${name}`);
    // A lone surrogate would not survive the URL, so the link would never verify.
    if (/\p{Surrogate}/u.test(value)) throw new TypeError(`the extra ${name} is not well-formed text`);
  }
}

/** Sorted by code unit: clients and proxies may reorder a query, which changes nothing that it says. */
function inOrder(extras: readonly LinkExtra[]): LinkExtra[] {
  return [...extras].sort(([one], [other]) => (one < other ? -1 : 1));
}

/** The refusal of a link, whatever is wrong with it. */
export function invalidLink(internal?: string): DomainError {
  return new DomainError(
    'unauthenticated',
    'This link is not valid or has expired; ask for a new one.',
    internal === undefined ? {} : { internal },
  );
}
