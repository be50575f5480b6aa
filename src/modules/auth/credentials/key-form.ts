/**
 * The form of the secrets that we hand out, so that a stranger, a linter or a leak scanner recognises one on sight:
 *
 *     tyk_<12 base62: public id>_<32 base62: secret><6 base62: CRC-32 of all before>      an API key
 *     tyw_…                                                                              an API key of role `worker`
 *     tyr_<43 base62: secret><6 base62: CRC-32 of all before>                            a refresh token
 *
 * One word under a double click. The checksum turns away typos and floods without asking the database; it proves nothing. The public
 * id is how a key is looked up, and may be shown and logged; 32 letters of base62 are 190 bits, 43 are 256.
 */
import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PUBLIC_ID_LETTERS = 12;
const SECRET_LETTERS = 32;
const REFRESH_LETTERS = 43;
const CHECKSUM_LETTERS = 6;

const API_KEY = /^(?<body>ty[kw]_(?<publicId>[0-9A-Za-z]{12})_[0-9A-Za-z]{32})(?<checksum>[0-9A-Za-z]{6})$/;
const REFRESH_TOKEN = /^(?<body>tyr_[0-9A-Za-z]{43})(?<checksum>[0-9A-Za-z]{6})$/;

/** Anything that claims to be a key of ours, well-formed or not. */
const CLAIMS_TO_BE_OURS = /^ty[kwr]_/;

/** What an operator may set as BOOTSTRAP_API_KEY; the environment's schema says the same. */
const OPERATOR_KEY = /^[A-Za-z0-9_-]{32,255}$/;

export interface NewKey {
  /** The whole key: shown once, never stored. */
  text: string;
  publicId: string;
}

/** What a text presented as a key can be. `operator` has no form of ours: only the bootstrap key may look like that. */
export type KeyText = { form: 'ours'; publicId: string } | { form: 'operator' } | null;

/** A new random key. */
export function makeKey(kind: 'key' | 'worker'): NewKey {
  const publicId = randomLetters(PUBLIC_ID_LETTERS);
  const body = `${kind === 'worker' ? 'tyw' : 'tyk'}_${publicId}_${randomLetters(SECRET_LETTERS)}`;
  return { text: body + checksumOf(body), publicId };
}

/** A new random refresh token, 256 bits. */
export function makeRefreshToken(): string {
  const body = `tyr_${randomLetters(REFRESH_LETTERS)}`;
  return body + checksumOf(body);
}

/** Reads a text presented as a key; null where it cannot be one. Touches nothing but the text. */
export function readKey(text: string): KeyText {
  const { body, publicId, checksum } = API_KEY.exec(text)?.groups ?? {};
  if (body !== undefined && publicId !== undefined && checksum === checksumOf(body)) {
    return { form: 'ours', publicId };
  }
  return OPERATOR_KEY.test(text) && !CLAIMS_TO_BE_OURS.test(text) ? { form: 'operator' } : null;
}

/** True where the text has the form and the checksum of a refresh token. */
export function isRefreshToken(text: string): boolean {
  const { body, checksum } = REFRESH_TOKEN.exec(text)?.groups ?? {};
  return body !== undefined && checksum === checksumOf(body);
}

function checksumOf(body: string): string {
  let rest = crc32(body);
  let letters = '';
  for (let index = 0; index < CHECKSUM_LETTERS; index += 1) {
    letters = ALPHABET.charAt(rest % ALPHABET.length) + letters;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return letters;
}

/** Unbiased: `randomInt` draws again where a plain remainder would prefer some letters. */
function randomLetters(count: number): string {
  return Array.from({ length: count }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('');
}
