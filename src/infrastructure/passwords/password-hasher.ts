import { Injectable } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { invalid } from '../../kernel/errors.js';
import { isCommonPassword, type PasswordContext } from './common-passwords.js';
import { type HashCaller, hashPassword, verifyPassword } from './passwords.js';

/** The sentence for a password that is refused for this reason. */
export const COMMON_PASSWORD =
  'is too easy to guess: it is a common password, or made of your e-mail address, a name or the name of the product; choose another';

export interface NewPassword extends PasswordContext {
  password: string;
  /** JSON Pointer of the member that it was sent in. */
  path: string;
}

/** Hashes and verifies passwords at the cost that the operator set (`PASSWORD_HASH_COST`). */
@Injectable()
export class PasswordHasher {
  readonly #cost: number;

  constructor(config: AppConfig) {
    this.#cost = config.passwordHashCost;
  }

  /**
   * The hash of a password that somebody chooses. There is no other way to one, so that a common password is refused wherever one is set.
   * @throws DomainError `invalid-request`
   */
  async hash({ password, path, words }: NewPassword): Promise<string> {
    if (await isCommonPassword(password, { words })) {
      throw invalid(path, COMMON_PASSWORD);
    }
    return hashPassword(password, this.#cost);
  }

  /** True where the password is the one hashed; with no hash, false after the same work. */
  verify(password: string, hash: string | null, caller: HashCaller): Promise<boolean> {
    return verifyPassword(password, hash, this.#cost, caller);
  }
}
