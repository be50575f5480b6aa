/**
 * Sessions: a sign-in opens one, its refresh tokens follow one another, and it ends whole.
 *
 *     sign-in ──► token 1 ──spent──► token 2 ──spent──► token 3 …          until 14 days unused, 90 days in all, or ended
 *
 * A refresh token is good for one use. The use is one conditional update, so of two requests with the same token one wins. What the
 * other means depends on the time: within ten seconds it is a reply that was lost, and it gets the same successor; later the token
 * was copied, and since nobody can tell the thief from the owner, the session ends for both (RFC 9700, section 4.14.2).
 *
 * Access tokens name their session. Ending it raises the user's epoch, so that every cached actor is looked up again and a
 * token of an ended session is refused at the next request.
 */
import { Injectable } from '@nestjs/common';
import { type WriteScope, unsafelySystemScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { AuditTrail, type AuditEventInput } from '../../../infrastructure/audit-trail/audit-trail.js';
import { DomainError } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { raiseEpochs } from '../../organizations/index.js';
import { isRefreshToken, makeRefreshToken } from '../credentials/key-form.js';
import { ACCESS_TOKEN_SECONDS, AccessTokens } from '../tokens/access-tokens.js';
import type { TokenReply } from './auth.schema.js';
import { openSuccessor, refreshDigest, sealSuccessor } from './refresh-token.js';
import { type FamilyRow, SessionsRepository } from './sessions.repository.js';
import { SignInQuery } from './sign-in.query.js';

export interface SignedInUser {
  organizationId: string;
  userId: string;
  epoch: number;
}

@Injectable()
export class SessionsService {
  constructor(
    private readonly database: Database,
    private readonly sessions: SessionsRepository,
    private readonly signIns: SignInQuery,
    private readonly tokens: AccessTokens,
    private readonly trail: AuditTrail,
  ) {}

  /** Opens a session for a user whose password was right. @throws DomainError `unavailable` where their rights changed meanwhile */
  async open(user: SignedInUser, address: string): Promise<TokenReply> {
    const scope = unsafelySystemScope(user.organizationId, 'a session opens before there is an actor');
    const familyId = newId();
    const refreshToken = makeRefreshToken();
    const { userId, epoch } = user;
    const digest = refreshDigest(refreshToken);
    const isOpen = await this.database.transaction(async (tx) => {
      const started = await this.sessions.start(scope, tx, { familyId, userId, epoch, digest });
      await this.trail.record(tx, scope, started ? [sessionEvent('open', userId, familyId, { address })] : []);
      return started;
    });
    if (!isOpen) {
      throw new DomainError('unavailable', 'The account is being changed; try again.', { retryAfterSeconds: 1 });
    }
    return this.#reply(scope, { family_id: familyId, user_id: userId, epoch }, refreshToken);
  }

  /** Exchanges a refresh token for its successor and a new access token. @throws DomainError `unauthenticated`, always the same */
  async refresh(refreshToken: string): Promise<TokenReply> {
    const scope = await this.#scopeOf(refreshToken);
    const reply = scope === null ? null : await this.#exchange(scope, refreshToken);
    if (reply === null) {
      throw new DomainError('unauthenticated', 'This refresh token is not valid (any more); sign in again.');
    }
    return reply;
  }

  /** Ends the session of a refresh token. Says nothing of whether there was one. */
  async closeByRefreshToken(refreshToken: string): Promise<void> {
    const scope = await this.#scopeOf(refreshToken);
    if (scope === null) {
      return;
    }
    await this.database.transaction(async (tx) => {
      const found = await this.sessions.find(scope, tx, refreshDigest(refreshToken));
      if (found !== null) {
        await this.#end(scope, tx, found, 'logout');
      }
    });
  }

  /** Ends the session of an access token. @throws DomainError `unauthenticated` where it is none of ours */
  async closeByAccessToken(accessToken: string): Promise<void> {
    const session = this.tokens.verify(accessToken);
    if (session === null) {
      throw new DomainError('unauthenticated', 'Send the refresh token, or the access token of the session.');
    }
    const scope = unsafelySystemScope(session.organizationId, 'an access token proves its session');
    await this.database.transaction((tx) =>
      this.#end(scope, tx, { family_id: session.familyId, user_id: session.userId }, 'logout'),
    );
  }

  async #scopeOf(refreshToken: string): Promise<WriteScope | null> {
    const owner = isRefreshToken(refreshToken) ? await this.signIns.findTokenOwner(refreshDigest(refreshToken)) : null;
    return owner === null ? null : unsafelySystemScope(owner.organization_id, 'a refresh token is its own proof');
  }

  async #exchange(scope: WriteScope, refreshToken: string): Promise<TokenReply | null> {
    const digest = refreshDigest(refreshToken);
    const successor = makeRefreshToken();
    const stored = { digest: refreshDigest(successor), sealed: sealSuccessor(refreshToken, successor) };
    // The transaction must commit where reuse ends the session, so it returns what it found instead of throwing it.
    return this.database.transaction(async (tx) => {
      const family = await this.sessions.spend(scope, tx, digest, stored);
      if (family !== null) {
        return this.#reply(scope, family, successor);
      }
      const found = await this.sessions.find(scope, tx, digest);
      if (found === null || !found.is_open || !found.is_spent) {
        return null;
      }
      const same =
        found.within_grace && found.successor_sealed !== null
          ? openSuccessor(refreshToken, found.successor_sealed)
          : null;
      if (same !== null) {
        return this.#reply(scope, found, same);
      }
      await this.#end(scope, tx, found, 'reuse');
      return null;
    });
  }

  async #end(
    scope: WriteScope,
    tx: Tx,
    family: Pick<FamilyRow, 'family_id' | 'user_id'>,
    reason: 'logout' | 'reuse',
  ): Promise<void> {
    if (await this.sessions.end(scope, tx, family.family_id, reason)) {
      await raiseEpochs(tx, scope, [family.user_id]);
      await this.trail.record(tx, scope, [sessionEvent('end', family.user_id, family.family_id, { reason })]);
    }
  }

  #reply(scope: WriteScope, family: FamilyRow, refreshToken: string): TokenReply {
    const session = {
      organizationId: scope.organizationId,
      userId: family.user_id,
      familyId: family.family_id,
      epoch: family.epoch,
    };
    return {
      access_token: this.tokens.issue(session),
      refresh_token: refreshToken,
      token_type: 'Bearer',
      expires_in: ACCESS_TOKEN_SECONDS,
    };
  }
}

function sessionEvent(
  what: 'open' | 'end',
  userId: string,
  familyId: string,
  more: Pick<AuditEventInput, 'address' | 'reason'>,
): AuditEventInput {
  return { action: `session.${what}`, objectKind: 'session', objectId: familyId, userId, ...more };
}
