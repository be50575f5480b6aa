import { Injectable } from '@nestjs/common';
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

  constructor(
    private readonly signIns: SignInQuery,
    private readonly throttle: LoginThrottleRepository,
    private readonly digests: KeyDigests,
    private readonly sessions: SessionsService,
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
    return this.sessions.open({ organizationId: user.organization_id, userId: user.user_id, epoch: user.epoch });
  }

  /** The account of these credentials, or null where they are wrong. @throws DomainError `rate-limited` */
  async verify({ email, password }: LoginRequest, address: string): Promise<AccountToSignIn | null> {
    const account = this.digests.subject('account', email.toLowerCase());
    const from = this.digests.subject('address', throttledAddress(address));
    await this.#count(account, from);
    const found = await this.signIns.findAccount(email);
    const genuine = await this.#check(password, found?.password_hash ?? null);
    if (found === null || !genuine) {
      return null;
    }
    await this.throttle.forgive(account, from);
    return found;
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
