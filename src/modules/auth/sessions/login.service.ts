/**
 * Signing in with e-mail and password, so that strangers can neither guess passwords nor keep anybody from signing in.
 *
 * Failures are counted by account and address together: whoever guesses somebody's password from elsewhere blocks themselves, not the
 * account. An address that fails for many accounts is blocked too, except for accounts that have signed in from it before. An account that
 * is guessed from many addresses is not blocked either: addresses that it does not know have one attempt each in a window. Attempts that
 * are blocked are refused before the password is looked at, and leave no row.
 *
 * Counts are kept twice. Those under the e-mail as it was sent decide on a 429: they depend on nothing but earlier requests and replies, so
 * a 429 tells nothing of who has an account. But several organizations may have users with this e-mail, and who is one of them could
 * reset the count by signing in, and have each attempt compared with the passwords of the others as well. So failures are also
 * counted for each user whose password was compared. A user for whom an address has failed too often is passed over in silence from there:
 * the reply is that of a wrong password, after the same work.
 *
 * No connection is held while a password is checked or while an attempt waits for its turn, and what happens before the password was right
 * uses connections of its own (`PublicDatabase`).
 */
import { Injectable } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { PublicDatabase } from '../../../database/database.js';
import { AuditTrail } from '../../../infrastructure/audit-trail/audit-trail.js';
import { PasswordHasher } from '../../../infrastructure/passwords/index.js';
import { DomainError } from '../../../kernel/errors.js';
import { KeyedLimiter } from '../../../kernel/concurrency/keyed-limiter.js';
import { KeyDigests } from '../credentials/key-digests.js';
import type { LoginRequest, TokenReply } from './auth.schema.js';
import { throttledAddress } from '../../../kernel/client-address.js';
import { LoginThrottleRepository, type ThrottleSubjects } from './login-throttle.repository.js';
import { SessionsService } from './sessions.service.js';
import { type AccountToSignIn, SignInQuery } from './sign-in.query.js';
import { SignInQueue } from './sign-in-queue.js';

/** Ten guesses a quarter of an hour are enough for a person and useless for a machine. */
const MAX_FAILURES = 10;
/** Reached only where the count of the e-mail was reset, or not asked: more, since signing in elsewhere with another password counts too. */
const MAX_USER_FAILURES = 30;

/** One password that is compared; of nobody where there are fewer users with the e-mail. */
interface Try {
  user: AccountToSignIn | null;
  subjects: ThrottleSubjects;
  /** Nothing is compared, and nothing counted. */
  isBlocked: boolean;
  hash: string | null;
}

@Injectable()
export class LoginService {
  #operatorId: string | null = null;
  /** Of their own, so that no flood of sign-ins delays those who are signed in. */
  readonly #confirmations = new SignInQueue();
  readonly #pairs = new KeyedLimiter(
    { concurrent: 1, waiting: 250 },
    'Too many attempts for this account from this address are under way; try again.',
  );

  constructor(
    private readonly signIns: SignInQuery,
    private readonly throttle: LoginThrottleRepository,
    private readonly turns: SignInQueue,
    private readonly digests: KeyDigests,
    private readonly passwords: PasswordHasher,
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
    // One after another, so that each is looked at after those before it are counted.
    const fitting = await this.#pairs.run(`${credentials.email.toLowerCase()} ${from}`, () =>
      this.turns.take(from, () => this.#attempt(credentials, from, address)),
    );
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
    const subjects = { pair, account: null, address: null, maxFailures: MAX_FAILURES };
    return this.#pairs.run(`${organizationId} ${userId} ${address}`, () =>
      this.#confirmations.take(userId, async () => {
        await this.#assertMayTry(subjects);
        const genuine = await this.passwords.verify(password, hash, 'authenticated');
        await this.throttle.count([{ subjects, isRight: genuine }]);
        return genuine;
      }),
    );
  }

  /** The accounts that these credentials are right for. @throws DomainError `rate-limited` */
  async #attempt(
    { email, password, organization }: LoginRequest,
    from: string,
    address: string,
  ): Promise<AccountToSignIn[]> {
    const account = email.toLowerCase();
    const sent = {
      pair: this.digests.subject('pair', account, from),
      account: this.digests.subject('account', account),
      address: this.digests.subject('address', from),
      maxFailures: MAX_FAILURES,
    };
    const isKnown = await this.#assertMayTry(sent);
    const { accounts, checks } = await this.signIns.findAccounts(email, organization ?? null);
    const tries = await this.#tries(account, accounts, checks, from);
    const genuine = await Promise.all(tries.map(({ hash }) => this.passwords.verify(password, hash, 'sign-in')));
    const right = tries.flatMap(({ user }, index) => (user !== null && genuine[index] === true ? [user] : []));
    const isRight = right.length > 0;
    // An address that the account knows is not held to account for its typos.
    const sentSubjects = isKnown ? { ...sent, address: null } : sent;
    await this.throttle.count([
      { subjects: sentSubjects, isRight },
      ...tries.flatMap(({ user, isBlocked, subjects }, index) =>
        user === null || isBlocked ? [] : [{ subjects, isRight: genuine[index] === true }],
      ),
    ]);
    if (!isRight) {
      const refused = tries.flatMap(({ user, isBlocked }) => (user === null || isBlocked ? [] : [user]));
      await this.#refused(refused, accounts.length > 0, address);
    }
    return right;
  }

  /** What is compared: as many passwords as `checks` says, whoever was found. */
  async #tries(account: string, accounts: readonly AccountToSignIn[], checks: number, from: string): Promise<Try[]> {
    const tries = Array.from({ length: checks }, (_, index) => {
      const user = accounts[index] ?? null;
      const names = user === null ? ['', account, String(index)] : [user.organization_id, user.user_id];
      const subjects = {
        pair: this.digests.subject('user-pair', ...names, from),
        account: this.digests.subject('user', ...names),
        address: null,
        maxFailures: MAX_USER_FAILURES,
      };
      return { user, subjects };
    });
    const standings = await this.throttle.standings(tries.map(({ subjects }) => subjects));
    return tries.map(({ user, subjects }, index) => {
      const isBlocked = standings[index]?.waitSeconds !== null;
      return { user, subjects, isBlocked, hash: isBlocked ? null : (user?.password_hash ?? null) };
    });
  }

  /** @returns whether the account has signed in from this address before */
  async #assertMayTry(subjects: ThrottleSubjects): Promise<boolean> {
    const [standing] = await this.throttle.standings([subjects]);
    const { waitSeconds, isKnown } = standing ?? { waitSeconds: null, isKnown: false };
    if (waitSeconds !== null) {
      throw new DomainError('rate-limited', 'Too many attempts to sign in; wait before the next.', {
        retryAfterSeconds: waitSeconds,
      });
    }
    return isKnown;
  }

  /** One more transaction, whether there is an account or not: the answer comes no sooner for one that does not exist. */
  async #refused(users: readonly AccountToSignIn[], isAnybody: boolean, address: string): Promise<void> {
    const operatorId = await this.#operator();
    const refused = isAnybody ? users : [{ organization_id: operatorId, user_id: null }];
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
