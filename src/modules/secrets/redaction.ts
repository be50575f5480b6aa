/**
 * Takes secrets out of what a run says before anything of it is stored.
 *
 * A value is looked for as it stands, line by line where it has lines (a key file is echoed a line at a time), and in the spellings and
 * codings it is sent in (secret-spellings.ts). What an agent does to it beyond that (reversed, cut in two, one letter an event)
 * cannot be seen, and no product should say that it can: the promise is against accidents. Texts shorter than {@link MIN_CHARACTERS}
 * are left alone: they would be found in half of all words.
 */
import type { JsonObject } from '../../http/pipes/merge-patch.js';
import { codingsOf, spellingsOf } from './secret-spellings.js';

/** What is found in a shorter text says nothing. */
export const MIN_CHARACTERS = 4;
/** Words of the protocol itself: as a whole text or a name they are left alone, or what is left would be no event any more. */
const KEPT: ReadonlySet<string> = new Set(
  `message delta log tool_call tool_result usage problem custom type data role parts text file user assistant system tool level debug
  info warning error id message_id name input output is_error requires_approval model input_tokens output_tokens cost_in_cents
  stack_trace media_type asset_id question options default fence`.split(/\s+/),
);
/** Of a line within a value: a line like `-----` is no secret. */
const MIN_LINE_CHARACTERS = 12;

interface Replacement {
  text: string;
  wanted: string | RegExp;
  instead: string;
}

/** Knows the values one run was given. The longest texts go first, so that a value within another does not leave the rest of it behind. */
export class Redactor {
  readonly #replacements: readonly Replacement[];

  constructor(values: Iterable<readonly [name: string, value: string]>) {
    const found = new Map<string, Replacement>();
    for (const [name, value] of values) {
      for (const { text, wanted } of formsOf(value)) {
        if (!found.has(text)) {
          found.set(text, { text, wanted, instead: `[secret ${name}]` });
        }
      }
    }
    this.#replacements = [...found.values()].sort((one, other) => other.text.length - one.text.length);
  }

  /** Of the texts that it looks for, together. */
  get characters(): number {
    return this.#replacements.reduce(
      (sum, { text, wanted }) => sum + text.length + (wanted === text ? 0 : String(wanted).length),
      0,
    );
  }

  get isIdle(): boolean {
    return this.#replacements.length === 0;
  }

  text(text: string): string {
    let clean = text;
    for (const { wanted, instead } of this.#replacements) {
      clean = clean.replaceAll(wanted, () => instead);
    }
    return clean;
  }

  /** The text, clean, and no longer than `maxCharacters`: what stands for a value may be longer than the value. */
  short(text: string, maxCharacters: number): string {
    const clean = this.text(text);
    return clean === text ? text : clean.slice(0, maxCharacters);
  }

  /** The same JSON value, clean in texts and names alike. Depth is bounded by whoever parsed it. */
  json<Value>(value: Value): Value;
  json(value: unknown): unknown {
    if (this.isIdle) {
      return value;
    }
    if (typeof value === 'string') {
      return KEPT.has(value) ? value : this.text(value);
    }
    if (Array.isArray(value)) {
      return value.map((item: unknown) => this.json(item));
    }
    if (typeof value === 'object' && value !== null) {
      const clean: JsonObject = {};
      for (const [name, item] of Object.entries(value)) {
        clean[KEPT.has(name) ? name : this.text(name)] = this.json(item);
      }
      return clean;
    }
    // A number that is a secret (a PIN, an account) is as much of one.
    return typeof value === 'number' && this.text(String(value)) !== String(value) ? this.text(String(value)) : value;
  }
}

/** A run that was given nothing. */
export const NOTHING_TO_REDACT = new Redactor([]);

/** @returns the texts to look for, each with the pattern of its spellings where there are several */
function formsOf(value: string): Pick<Replacement, 'text' | 'wanted'>[] {
  const lines = value.split(/\r?\n/).map((line) => line.trim());
  const parts = [
    value,
    value.trim(),
    ...(lines.length > 1 ? lines.filter((line) => line.length >= MIN_LINE_CHARACTERS) : []),
  ].filter((part) => part.length >= MIN_CHARACTERS);
  return [
    ...parts.map((text) => ({ text, wanted: spellingsOf(text) ?? text })),
    ...[...new Set(parts)].flatMap(codingsOf).map((text) => ({ text, wanted: text })),
  ];
}
