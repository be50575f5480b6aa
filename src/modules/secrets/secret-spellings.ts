/**
 * The ways in which a secret may stand in a text.
 *
 * Letters, digits and `-._~` are themselves in every coding of text (RFC 3986, RFC 8259, HTML), so only the other characters vary. What a
 * program that joins, sends or logs a value makes of those is one of the spellings below, and one value may mix them.
 *
 * Base64 (RFC 4648) takes three bytes at a time, so that a value is coded in one of three ways, by how much stands in front of it: the user
 * name of a Basic header, or the name of a member. The characters in which the value shares bits with its neighbors are not looked for; at
 * each end, at most two of them are left, which hold less than two bytes of the value.
 */
const ALWAYS_THEMSELVES = /^[\w.~-]$/;
/** Coded text that is shorter occurs by chance within other coded text. */
const MIN_CODED_CHARACTERS = 8;

/** A pattern for all spellings of a text, or null where there is one only. */
export function spellingsOf(text: string): RegExp | null {
  const characters = Array.from(text);
  return characters.every((character) => ALWAYS_THEMSELVES.test(character))
    ? null
    : new RegExp(characters.map(spellingsOfCharacter).join(''), 'g');
}

/** The codings of the bytes of a text: base64 and base64url at all three places, and hexadecimal. */
export function codingsOf(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8');
  const inBase64 = [0, 1, 2].map((before) => base64Core(bytes, before));
  const inHexadecimal = bytes.toString('hex');
  // Alone, with nothing around it, a value of any length is known.
  const alone = [bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')];
  const within = [
    ...inBase64,
    ...inBase64.map((core) => core.replaceAll('+', '-').replaceAll('/', '_')),
    inHexadecimal,
    inHexadecimal.toUpperCase(),
  ].filter((coded) => coded.length >= MIN_CODED_CHARACTERS);
  return [...alone, ...within];
}

/** The base64 characters that depend on the bytes alone, where so many bytes stand before them. */
function base64Core(bytes: Buffer, before: number): string {
  const coded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
  const start = Math.ceil((before * 8) / 6);
  const end = Math.floor(((before + bytes.length) * 8) / 6);
  return coded.slice(start, end);
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\n', 'n'],
  ['\r', 'r'],
  ['\t', 't'],
  ['\b', 'b'],
  ['\f', 'f'],
]);
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&', 'amp'],
  ['<', 'lt'],
  ['>', 'gt'],
  ['"', 'quot'],
  ["'", 'apos'],
]);

function spellingsOfCharacter(character: string): string {
  if (ALWAYS_THEMSELVES.test(character)) {
    return character;
  }
  const code = character.codePointAt(0) ?? 0;
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  const entity = ENTITIES.get(character);
  const escape = ESCAPES.get(character);
  // JSON within JSON doubles the backslashes.
  const spellings = [
    ...(character === '\\'
      ? ['\\\\{1,4}']
      : [literal(character), ...(code < 0x80 ? [`\\\\+${literal(character)}`] : [])]),
    [...Buffer.from(character, 'utf8')].map((byte) => `%${hexadecimal(byte, 2)}`).join(''),
    units.map((unit) => `\\\\+u${hexadecimal(unit, 4)}`).join(''),
    `&#(?:0*${code}|[xX]0*${hexadecimal(code, 1)});`,
    ...(code < 0x100 ? [`\\\\+x${hexadecimal(code, 2)}`] : []),
    ...(escape === undefined ? [] : [`\\\\+${escape}`]),
    ...(entity === undefined ? [] : [`&${entity};`]),
    ...(character === ' ' ? ['\\+'] : []),
  ];
  return `(?:${spellings.join('|')})`;
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

/** In either case. */
function hexadecimal(value: number, digits: number): string {
  return value
    .toString(16)
    .padStart(digits, '0')
    .replace(/[a-f]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}
