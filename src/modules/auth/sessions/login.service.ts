import { Injectable } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { AuditTrail } from '../../../engines/audit-trail/audit-trail.js';
import { verifyPassword } from '../../../engines/passwords/index.js';
import { DomainError } from '../../../kernel/errors.js';
import { KeyDigests } from '../credentials/key-digests.js';
import type { LoginRequest, TokenReply } from './auth.schema.js';
import { throttledAddress } from './client-address.js';
import { LoginThrottleRepository } from './login-throttle.repository.js';
import { SessionsService } from './sessions.service.js';
import { type AccountToSignIn, SignInQuery } from './sign-in.query.js';

/** Ten guesses a quarter of an hour are enough for a person and useless for a machine. */
const ACCOUNT_LIMIT = 10;
/** An office behind one address has many people who mistype. */
const ADDRESS_LIMIT = 100;
/** Each check takes a core for a fifth of a second: more than this many waiting would wait for longer than anyone does. */
const MOST_UNDER_WAY = 64;

/** Signing in with e-mail and password. */
@Injectable()
export class LoginService {
  #underWay = 0;
  #operatorId: string | null = null;

  constructor(
    private readonly signIns: SignInQuery,
    private readonly throttle: LoginThrottleRepository,
    private readonly digests: KeyDigests,
    private readonly sessions: SessionsService,
    private readonly database: Database,
    private readonly trail: AuditTrail,
  ) {}

  /**
   * Opens a session. An unknown e-mail, a wrong password and a disabled account get the same answer after the same work.
   * @throws DomainError `invalid-credentials`; `rate-limited` with how long to wait
   */
  async login(credentials: LoginRequest, address: string): Promise<TokenReply> {
    const user = await this.verify(credentials, address);
    if (user === null) {
      throw new DomainError('invalid-credentials', 'The e-mail or the password is wrong.');
    }
    return this.sessions.open(
      { organizationId: user.organization_id, userId: user.user_id, epoch: user.epoch },
      address,
    );
  }

  /** The account of these credentials, or null where they are wrong. @throws DomainError `rate-limited` */
  async verify({ email, password }: LoginRequest, address: string): Promise<AccountToSignIn | null> {
    const account = this.digests.subject('account', email.toLowerCase());
    const from = this.digests.subject('address', throttledAddress(address));
    await this.#count(account, from);
    const found = await this.signIns.findAccount(email);
    const genuine = await this.#check(password, found?.password_hash ?? null);
    if (found === null || !genuine) {
      await this.#refused(found, address);
      return null;
    }
    await this.throttle.forgive(account, from);
    return found;
  }

  /** One more statement, whether the account is there or not: the answer comes no sooner for one that is not. */
  async #refused(account: AccountToSignIn | null, address: string): Promise<void> {
    const organizationId = account?.organization_id ?? (await this.#operator());
    const scope = unsafelySystemScope(organizationId, 'a sign-in was refused');
    await this.database.transaction((tx) =>
      this.trail.record(tx, scope, [
        {
          action: 'session.open',
          objectKind: 'session',
          objectId: null,
          outcome: 'refused',
          reason: account === null ? 'unknown account' : 'wrong password, or disabled',
          address,
          ...(account === null ? {} : { userId: account.user_id }),
        },
      ]),
    );
  }

  async #operator(): Promise<string> {
    this.#operatorId ??= await this.signIns.operator();
    return this.#operatorId;
  }

  async #count(account: Buffer, address: Buffer): Promise<void> {
    const waitSeconds = await this.throttle.count(
      { subject: account, limit: ACCOUNT_LIMIT },
      { subject: address, limit: ADDRESS_LIMIT },
    );
    if (waitSeconds !== null) {
      throw new DomainError('rate-limited', 'Too many attempts to sign in; wait before the next.', {
        retryAfterSeconds: waitSeconds,
      });
    }
  }

  async #check(password: string, hash: string | null): Promise<boolean> {
    if (this.#underWay >= MOST_UNDER_WAY) {
      throw new DomainError('unavailable', 'Too many people are signing in just now; try again.', {
        retryAfterSeconds: 2,
      });
    }
    this.#underWay += 1;
    try {
      return await verifyPassword(password, hash);
    } finally {
      this.#underWay -= 1;
    }
  }
}
