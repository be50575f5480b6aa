/**
 * Signing in with e-mail and password, so that strangers can neither guess passwords nor keep anybody from signing in.
 *
 * Failures are counted by account and address together: whoever guesses somebody's password from elsewhere blocks themselves, not the
 * account. An address that fails for many accounts is blocked too, except for accounts that have signed in from it before. An account that
 * is guessed from many addresses is not blocked either: addresses that it does not know have one attempt each in a window. Attempts that
 * are blocked are refused before the password is looked at, and leave no row.
 *
 * No connection is held while a password is checked or while an attempt waits for its turn, and what happens before the password was right
 * uses connections of its own (`PublicDatabase`).
 */
import { Injectable } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { PublicDatabase } from '../../../database/database.js';
import { AuditTrail } from '../../../engines/audit-trail/audit-trail.js';
import { verifyPassword } from '../../../engines/passwords/index.js';
import { DomainError } from '../../../kernel/errors.js';
import { KeyDigests } from '../credentials/key-digests.js';
import type { LoginRequest, TokenReply } from './auth.schema.js';
import { throttledAddress } from './client-address.js';
import { LoginThrottleRepository, type ThrottleSubjects } from './login-throttle.repository.js';
import { SessionsService } from './sessions.service.js';
import { type AccountToSignIn, SignInQuery } from './sign-in.query.js';
import { SignInTurns } from './sign-in-turns.js';

@Injectable()
export class LoginService {
  #operatorId: string | null = null;

  constructor(
    private readonly signIns: SignInQuery,
    private readonly throttle: LoginThrottleRepository,
    private readonly turns: SignInTurns,
    private readonly digests: KeyDigests,
    private readonly sessions: SessionsService,
    private readonly database: PublicDatabase,
    private readonly trail: AuditTrail,
  ) {}

  /**
   * Opens a session. An unknown e-mail, a wrong password and a disabled account get the same answer after the same work.
   * @throws DomainError `invalid-credentials`; `rate-limited` with how long to wait; `conflict` where the credentials are right in several
   * organizations and none is named
   */
  async login(credentials: LoginRequest, address: string): Promise<TokenReply> {
    const from = throttledAddress(address);
    const fitting = await this.turns.take(from, () => this.#attempt(credentials, from, address));
    const [user] = fitting;
    if (user === undefined) {
      throw new DomainError('invalid-credentials', 'The e-mail or the password is wrong.');
    }
    if (fitting.length > 1) {
      const slugs = fitting.map(({ organization_slug: slug }) => slug).join(', ');
      throw new DomainError(
        'conflict',
        `This e-mail and password are right in several organizations. Send "organization" with one of: ${slugs}.`,
      );
    }
    return this.sessions.open(
      { organizationId: user.organization_id, userId: user.user_id, epoch: user.epoch },
      address,
    );
  }

  /**
   * True where this is the password of the user who is signed in. Attempts to sign in do not count here, so that nobody keeps a user who
   * is signed in from changing their password.
   * @throws DomainError `rate-limited`
   */
  async confirm(
    { organizationId, userId, hash }: { organizationId: string; userId: string; hash: string | null },
    password: string,
    address: string,
  ): Promise<boolean> {
    const pair = this.digests.subject('confirmation', organizationId, userId, throttledAddress(address));
    const subjects = { pair, account: null, address: null };
    return this.turns.take(userId, async () => {
      await this.#assertMayTry(subjects);
      const genuine = await verifyPassword(password, hash);
      await (genuine ? this.throttle.noteSuccess(subjects) : this.throttle.countFailure(subjects, true));
      return genuine;
    });
  }

  /** The accounts that these credentials are right for. @throws DomainError `rate-limited` */
  async #attempt(
    { email, password, organization }: LoginRequest,
    from: string,
    address: string,
  ): Promise<AccountToSignIn[]> {
    const account = email.toLowerCase();
    const subjects = {
      pair: this.digests.subject('pair', account, from),
      account: this.digests.subject('account', account),
      address: this.digests.subject('address', from),
    };
    const isKnown = await this.#assertMayTry(subjects);
    const { accounts, checks } = await this.signIns.findAccounts(email, organization ?? null);
    const hashes = Array.from({ length: checks }, (_, index) => accounts[index]?.password_hash ?? null);
    const genuine = await Promise.all(hashes.map((hash) => verifyPassword(password, hash)));
    const fitting = accounts.filter((_, index) => genuine[index]);
    if (fitting.length > 0) {
      await this.throttle.noteSuccess(subjects);
    } else {
      await this.throttle.countFailure(subjects, isKnown);
      await this.#refused(accounts, address);
    }
    return fitting;
  }

  /** @returns whether the account has signed in from this address before */
  async #assertMayTry(subjects: ThrottleSubjects): Promise<boolean> {
    const { waitSeconds, isKnown } = await this.throttle.standing(subjects);
    if (waitSeconds !== null) {
      throw new DomainError('rate-limited', 'Too many attempts to sign in; wait before the next.', {
        retryAfterSeconds: waitSeconds,
      });
    }
    return isKnown;
  }

  /** One more transaction, whether there is an account or not: the answer comes no sooner for one that does not exist. */
  async #refused(accounts: readonly AccountToSignIn[], address: string): Promise<void> {
    const refused =
      accounts.length > 0 ? accounts : [{ organization_id: await this.#operator(), user_id: null, epoch: 0 }];
    await this.database.transaction(async (tx) => {
      for (const { organization_id: organizationId, user_id: userId } of refused) {
        await this.trail.record(tx, unsafelySystemScope(organizationId, 'a sign-in was refused'), [
          {
            action: 'session.open',
            objectKind: 'session',
            objectId: null,
            outcome: 'refused',
            reason: userId === null ? 'unknown account' : 'wrong password, or disabled',
            address,
            ...(userId === null ? {} : { userId }),
          },
        ]);
      }
    });
  }

  async #operator(): Promise<string> {
    this.#operatorId ??= await this.signIns.operator();
    return this.#operatorId;
  }
}
