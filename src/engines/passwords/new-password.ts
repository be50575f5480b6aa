import { invalid } from '../../kernel/errors.js';
import { type PasswordContext, isCommonPassword } from './common-passwords.js';
import { hashPassword } from './passwords.js';

/** The sentence for a password that is refused for this reason. */
export const COMMON_PASSWORD =
  'is too easy to guess: it is a common password, or made of your e-mail address, a name or the name of the product; choose another';

export interface NewPassword extends PasswordContext {
  password: string;
  /** JSON Pointer of the member that it was sent in. */
  path: string;
}

/**
 * The hash of a password that somebody chooses. There is no other way to one, so that a common password is refused wherever one is set.
 * @throws DomainError `invalid-request`
 */
export async function hashNewPassword({ password, path, words }: NewPassword): Promise<string> {
  if (await isCommonPassword(password, { words })) {
    throw invalid(path, COMMON_PASSWORD);
  }
  return hashPassword(password);
}
