/**
 * Passwords that are guessed first: those of lists of leaked passwords, and those made of what anybody knows about the account or the
 * product (NIST SP 800-63B-4, section 3.1.1.2). The list is the one that zxcvbn-ts ships, about 50,000 passwords of leaks by frequency; it is
 * loaded when the first password is set.
 *
 * The whole password is compared, whatever its case, with what trivial changes leave of it: digits and signs around it
 * (`Password1234!`), a word repeated (`dragondragon`), a run of neighboring characters (`abcdefghijkl`), separators between known words
 * (`ada.lovelace.2026`). A common word inside a longer password is no reason to refuse it.
 */
export interface PasswordContext {
  /** What others know of the account: its e-mail address, names of the user and of the organization. */
  words: readonly string[];
}

const PRODUCT_NAME = 'taskyard';
/** Shorter words of the context occur by chance in good passwords. */
const MIN_WORD_LENGTH = 4;
/** What is left beside known words has to be at least this long to count. */
const MIN_REST_LENGTH = 4;
const MAX_UNIT_LENGTH = 4;

const RUNS = [
  'abcdefghijklmnopqrstuvwxyz',
  '01234567890123456789',
  'qwertyuiopasdfghjklzxcvbnm',
  'qwertzuiopasdfghjklyxcvbnm',
  'azertyuiopqsdfghjklmwxcvbn',
].flatMap((run) => [run, Array.from(run).reverse().join('')]);

let listed: Promise<ReadonlySet<string>> | null = null;

/** True where the password is among those that are guessed first. */
export async function isCommonPassword(password: string, { words }: PasswordContext): Promise<boolean> {
  listed ??= loadList();
  const common = await listed;
  const known = knownWords(words);
  const isGuessed = (text: string): boolean =>
    common.has(text) || known.has(text) || isMonotonous(text) || isOfKnownWords(text, known, common);
  const folded = password.normalize('NFKC').trim().toLowerCase();
  const core = withoutEdges(folded);
  return [folded, core, lettersAndDigits(core)].some((text) => {
    if (text === '') {
      return folded === '';
    }
    const unit = repeatedUnit(text);
    return isGuessed(text) || (unit !== null && (unit.length <= MAX_UNIT_LENGTH || isGuessed(withoutEdges(unit))));
  });
}

async function loadList(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  return new Set(dictionary['passwords-common'].map((entry) => entry.toLowerCase()));
}

/** The words of the context and their parts, without what separates them. */
function knownWords(words: readonly string[]): ReadonlySet<string> {
  const folded = [PRODUCT_NAME, ...words].map((word) => word.normalize('NFKC').toLowerCase());
  const parts = folded.flatMap((word) => [word, ...word.split('@'), ...word.split(/[^\p{L}\p{N}]+/u)]);
  return new Set(parts.map(lettersAndDigits).filter((part) => part.length >= MIN_WORD_LENGTH));
}

/** True where nothing of worth is left once the known words are taken out. */
function isOfKnownWords(text: string, known: ReadonlySet<string>, common: ReadonlySet<string>): boolean {
  const longestFirst = [...known].sort((one, other) => other.length - one.length);
  const rest = longestFirst.reduce((left, word) => left.replaceAll(word, ' '), lettersAndDigits(text));
  if (!rest.includes(' ')) {
    return false;
  }
  const core = rest.replace(/[^\p{L}]+$|^[^\p{L}]+/gu, '').replaceAll(' ', '');
  return core.length < MIN_REST_LENGTH || common.has(core);
}

/** The shortest text that the whole is a repetition of; null where it is none. */
function repeatedUnit(text: string): string | null {
  const period = (text + text).indexOf(text, 1);
  return period < text.length ? text.slice(0, period) : null;
}

function isMonotonous(text: string): boolean {
  return text.length >= MIN_REST_LENGTH && RUNS.some((run) => run.includes(text));
}

/** Without the digits, signs and blanks in front and behind; a text of nothing else stays as it is. */
function withoutEdges(text: string): string {
  const core = text.replace(/^[^\p{L}]+/u, '').replace(/[^\p{L}]+$/u, '');
  return core === '' ? text : core;
}

function lettersAndDigits(text: string): string {
  return text.replace(/[^\p{L}\p{N}]+/gu, '');
}
