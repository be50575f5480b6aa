/**
 * How a request becomes an actor.
 *
 * 1. The headers are read (header.strategies.ts). No credential: a signed link may stand in for one, where the route allows it. Two
 *    different ones: refused, since whoever forwards a request must not be made to act by a credential slipped in beside its own.
 * 2. A bearer with two dots is an access token, anything else a key. Each is checked without the database as far as that goes:
 *    form and checksum of a key, header and signature of a token.
 * 3. One statement loads the principal with its role, teams and epoch (actors.query.ts).
 * 4. The actor is remembered for some seconds. Every scoped statement asks for its epoch, so a revoked one reads and writes
 *    nothing; then, and where its role seems too small, the edge asks again with `fresh`, which asks the database.
 *
 * Every failure is the same 401 with the same words, until too many come from one address (failed-auth-limiter.ts). A wrong key costs what a right
 * one costs on its first use: its part of a look-up, a digest, a comparison.
 */
import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type AccessDeclaration, type Actor, READ_ACTIONS } from '../../../access/index.js';
import { UrlSigner, invalidLink, type VerifiedLink } from '../../../infrastructure/signed-urls/url-signer.js';
import { Authenticator } from '../../../http/guards/authenticator.js';
import { BoundedCache, cacheKeyOf } from '../../../kernel/bounded-cache.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { ActorLoader, type LoadedActor } from './actor-loader.js';
import { CREDENTIAL_HEADERS, credentialIn } from './header.strategies.js';
import { KeyVerifier } from './key-verifier.js';
import { LastUsedTracker } from './last-used-tracker.js';
import { FailedAuthLimiter } from './failed-auth-limiter.js';

/** The one credential of a request. */
export type Credential = { kind: 'token' | 'key'; text: string };

/** How long an actor is remembered; the epoch in every statement makes a stale one harmless, not merely short-lived. */
const REMEMBER_MS = 5_000;
const MAX_ENTRIES = 10_000;

const JWT_FORM = /^[^.]*\.[^.]*\.[^.]*$/;

@Injectable()
export class RequestAuthenticator extends Authenticator {
  readonly #actors: BoundedCache<Actor>;

  constructor(
    private readonly keys: KeyVerifier,
    private readonly tokens: AccessTokens,
    private readonly loader: ActorLoader,
    private readonly signer: UrlSigner,
    private readonly lastUse: LastUsedTracker,
    private readonly clock: Clock,
    private readonly wrongKeys: FailedAuthLimiter,
    private readonly log: Log,
  ) {
    super();
    this.#actors = new BoundedCache(clock, MAX_ENTRIES);
  }

  async authenticate(
    request: FastifyRequest,
    declaration: AccessDeclaration,
    options: { fresh: boolean },
  ): Promise<Actor> {
    const credential = await this.credentialOf(request);
    if (credential !== null) {
      const actor = await this.#actorOf(credential, options.fresh, request.ip);
      if (actor.kind === 'api_key') {
        this.lastUse.note(actor.organizationId, actor.principalId);
      }
      return actor;
    }
    if (declaration.kind === 'requires' && declaration.presigned !== null && 'signature' in queryOf(request)) {
      return this.#issuerOf(request, declaration, declaration.presigned, options.fresh);
    }
    throw unauthenticated('no credential');
  }

  /** The request's credential, unchecked; null without one. @throws DomainError `unauthenticated` for a malformed one or several */
  async credentialOf(request: FastifyRequest): Promise<Credential | null> {
    const { headers } = request;
    let found: Credential | null = null;
    for (const header of CREDENTIAL_HEADERS) {
      if (headers[header] === undefined) {
        continue;
      }
      const text = await credentialIn(header, { headers });
      if (text === null) {
        throw unauthenticated(`nothing usable in ${header}`);
      }
      if (found !== null && found.text !== text) {
        throw unauthenticated('two different credentials');
      }
      found ??= { kind: header === 'authorization' && JWT_FORM.test(text) ? 'token' : 'key', text };
    }
    return found;
  }

  async #actorOf(credential: Credential, fresh: boolean, address: string): Promise<Actor> {
    // A token that is shown as a key must not find what it stands for as a token.
    const cacheKey = cacheKeyOf(`${credential.kind} ${credential.text}`);
    const remembered = fresh ? null : this.#actors.get(cacheKey);
    if (remembered !== null && (credential.kind === 'key' || this.tokens.verify(credential.text) !== null)) {
      return remembered;
    }
    const loaded =
      credential.kind === 'token'
        ? await this.#session(credential.text)
        : await this.#key(credential.text, address, cacheKey);
    if (loaded === null) {
      this.#actors.delete(cacheKey);
      if (this.wrongKeys.note(address)) {
        this.log.warn('an address has sent too many wrong keys and has to wait', { address });
      }
      throw unauthenticated(`bad ${credential.kind}`);
    }
    this.wrongKeys.noteRight(cacheKey);
    return this.#remember(cacheKey, loaded);
  }

  #remember(cacheKey: string, { actor, remainingMs }: LoadedActor): Actor {
    this.#actors.set(cacheKey, actor, this.clock.nowMs() + Math.min(REMEMBER_MS, remainingMs ?? REMEMBER_MS));
    return actor;
  }

  async #key(text: string, address: string, cacheKey: string): Promise<LoadedActor | null> {
    return this.keys.mayExist(text)
      ? this.wrongKeys.lookUp(address, cacheKey, (lane) => this.keys.verify(text, lane))
      : null;
  }

  async #session(token: string): Promise<LoadedActor | null> {
    const session = this.tokens.verify(token);
    if (session === null) {
      return null;
    }
    const loaded = await this.loader.loadBy(session.organizationId, session.userId, session.familyId);
    return loaded === null || session.epoch > loaded.actor.epoch ? null : loaded;
  }

  /**
   * A link stands for its issuer as the issuer is now and while the credential that it was made with lasts, to read, and to upload what was announced; no other route that changes anything
   * takes one.
   */
  async #issuerOf(
    request: FastifyRequest,
    declaration: AccessDeclaration & { kind: 'requires' },
    purpose: string,
    fresh: boolean,
  ): Promise<Actor> {
    const { action, parameters } = declaration;
    const takesLinks = action === 'asset:upload' || READ_ACTIONS.some((read) => read === action);
    const resource: unknown = Reflect.get(parametersOf(request), 'id');
    if (!takesLinks || typeof resource !== 'string') {
      throw unauthenticated('a link where none is taken');
    }
    const signed = Object.fromEntries(Object.entries(queryOf(request)).filter(([name]) => !parameters.includes(name)));
    const link = this.signer.verify(purpose, resource, signed);
    const cacheKey = cacheKeyOf(`link ${link.organization} ${link.issuer} ${link.credential ?? ''}`);
    const remembered = fresh ? null : this.#actors.get(cacheKey);
    if (remembered !== null) {
      return remembered;
    }
    const loaded = await this.#issuer(link);
    if (loaded === null) {
      this.#actors.delete(cacheKey);
      throw invalidLink('its issuer may not act any more, or the credential it was made with has ended');
    }
    return this.#remember(cacheKey, loaded);
  }

  async #issuer({ organization, issuer, credential }: VerifiedLink): Promise<LoadedActor | null> {
    if (credential !== null) {
      return this.loader.loadBy(organization, issuer, credential);
    }
    // Of an earlier version, whose links name no credential.
    const actor = await this.loader.load(organization, issuer);
    return actor === null ? null : { actor, remainingMs: null };
  }
}

function unauthenticated(internal: string): DomainError {
  return new DomainError('unauthenticated', 'Send a valid API key or access token.', { internal });
}

function queryOf(request: FastifyRequest): object {
  const { query } = request;
  return typeof query === 'object' && query !== null ? query : {};
}

function parametersOf(request: FastifyRequest): object {
  const { params } = request;
  return typeof params === 'object' && params !== null ? params : {};
}
