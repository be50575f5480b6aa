import { TextDecoder } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseJsonBody } from '../../src/http/body/json/parse-json-body.js';
import { DomainError } from '../../src/kernel/errors.js';

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'utf8');
const nest = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

function refusal(attempt: () => unknown): { code: string; path: string | undefined } {
  try {
    attempt();
  } catch (error) {
    if (error instanceof DomainError) return { code: error.code, path: error.issues[0]?.path };
    throw error;
  }
  throw new Error('it was accepted');
}
const refusalOf = (text: string | Uint8Array): { code: string; path: string | undefined } =>
  refusal(() => parseJsonBody(typeof text === 'string' ? bytesOf(text) : text));

describe('a JSON body is refused as malformed when it', () => {
  it.each<[string, string | Uint8Array]>([
    ['is empty', ''],
    ['is white space', ' \n\t '],
    ['ends early', '{"a":'],
    ['goes on after its end', '{} {}'],
    ['has a trailing comma', '[1,]'],
    ['has a comment', '{/* */}'],
    ['has a name without quotes', '{a:1}'],
    ['has single quotes', "{'a':1}"],
    ['has a raw NUL in a string', '"a\u0000b"'],
    ['has a raw NUL between tokens', '[\u00001]'],
    ['has a raw line feed in a string', '"a\nb"'],
    ['has a bad escape', '"\\x41"'],
    ['has a half-written escape', '"\\u00'],
    ['ends in a backslash', '"\\'],
    ['has a number with a leading zero', '01'],
    ['has a number with a plus', '+1'],
    ['has a number without digits', '[-]'],
    ['has a bare exponent', '1e'],
    ['has hexadecimal', '0x10'],
    ['has NaN', 'NaN'],
    ['has Infinity', '[-Infinity]'],
    ['has unbalanced brackets', ']]]][[[['],
    ['has mixed brackets', '[}'],
    ['has a vertical tab as white space', '[\u000b1]'],
    ['has a no-break space as white space', '[\u00a01]'],
    ['begins with a byte order mark', '\ufeff{}'],
    ['is UTF-16', Buffer.from('{"a":1}', 'utf16le')],
    ['has a stray continuation byte', Buffer.from([0x22, 0x80, 0x22])],
    ['has an overlong NUL', Buffer.from([0x22, 0xc0, 0x80, 0x22])],
    ['has an overlong slash', Buffer.from([0x22, 0xe0, 0x80, 0xaf, 0x22])],
    ['has a surrogate encoded as UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['has a character past U+10FFFF', Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22])],
    ['is cut within a character', Buffer.from([0x22, 0xe2, 0x82, 0x22])],
    ['is latin-1', Buffer.from('"Zürich"', 'latin1')],
  ])('%s', (_what, text) => {
    expect(refusalOf(text).code).toBe('malformed-json');
  });
});

describe('a JSON body is refused, with the place, when it', () => {
  it.each([
    ['has an escaped NUL', '{"a":["x","b\\u0000c"]}', '/a/1'],
    ['has an escaped NUL past a long run of text', `{"a":"${'x'.repeat(500)}\\u0000"}`, '/a'],
    ['has an escaped NUL in a name', '{"a":{"b\\u0000":1}}', '/a'],
    ['has a lone high surrogate', '["\\ud800"]', '/0'],
    ['has a lone low surrogate', '["\\uDFFF"]', '/0'],
    ['has a high surrogate before another high one', '["\\ud83d\\ud83d\\ude00"]', '/0'],
    ['has a high surrogate before an ordinary escape', '["\\ud83d\\n"]', '/0'],
    ['has a high surrogate before the next escaped character past the surrogates', '["\\ud83d\\ue000"]', '/0'],
    ['has a high surrogate before text', '["\\ud83dx"]', '/0'],
    ['has a low surrogate before another low one', '["\\ude00\\ude00"]', '/0'],
    [
      'has an escaped NUL after an escaped quote and long runs',
      `["${'x'.repeat(300)}\\"${'y'.repeat(300)}\\u0000"]`,
      '/0',
    ],
    ['has a pair the wrong way round', '["\\ude00\\ud83d"]', '/0'],
    ['has 2^53 + 1', '{"n":9007199254740993}', '/n'],
    ['has -2^53 - 1', '{"n":[-9007199254740993]}', '/n/0'],
    ['has the largest 64-bit integer', '{"n":9223372036854775807}', '/n'],
    ['has an identifier of twenty digits', '[0,12345678901234567890]', '/1'],
    ['has more digits than a double before an exponent', '1.23456789012345678901E+30', ''],
    ['has an integer in the clothes of a decimal', '[9007199254740993.0]', '/0'],
    ['has a decimal that is an integer once it is a double', '[9007199254740993.5]', '/0'],
    ['has a number past all doubles', '{"a":{"b":1e400}}', '/a/b'],
    ['has a negative number past all doubles', '-1e400', ''],
    ['has four hundred digits', '1'.repeat(400), ''],
    ['repeats a name', '{"a":1,"b":[{"c":1,"d":2,"c":3}]}', '/b/0/c'],
    ['repeats a name in other spelling', '{"a":1,"\\u0061":1}', '/a'],
    ['repeats an empty name', '{"":1,"":1}', '/'],
    ['names a member __proto__', '{"a":{"__proto__":{"x":1}}}', '/a/__proto__'],
    ['names a member __proto__ in other spelling', '{"\\u005f_proto__":1}', '/__proto__'],
    ['is nested 65 deep', `{"a":${nest(64)}}`, `/a${'/0'.repeat(63)}`],
    ['is nested a hundred thousand deep', nest(100_000), '/0'.repeat(64)],
    ['is nested deep and never closed', '['.repeat(500_000), '/0'.repeat(64)],
    ['has a place with ~ and / in its name', '{"a/b~c":1e400}', '/a~1b~0c'],
    ['has a place whose name is too long to repeat', `{"a":{"${'n'.repeat(400)}":1e400}}`, '/a'],
  ])('%s', (_what, text, path) => {
    expect(refusalOf(text)).toEqual({ code: 'invalid-request', path });
  });

  it('holds one member or element more than allowed, in one container or in many', () => {
    const elements = (count: number): string => `[${Array.from({ length: count }, () => '0').join(',')}]`;
    const empties = (count: number): string => `[${Array.from({ length: count }, () => '[ ]').join(',')}]`;
    const members = (count: number): string =>
      `{${Array.from({ length: count }, (_, at) => `"k${String(at)}":{}`).join()}}`;
    for (const make of [elements, empties]) {
      expect(parseJsonBody(bytesOf(make(100_000)))).toBeDefined();
      expect(refusalOf(make(100_001))).toEqual({ code: 'invalid-request', path: '' });
    }
    // The members of one object have a limit of their own.
    expect(parseJsonBody(bytesOf(`[${members(2_000)},${members(2_000)}]`))).toHaveLength(2);
    expect(refusalOf(`[1,${members(2_001)}]`)).toEqual({ code: 'invalid-request', path: '/1/k2000' });
    const inAll = (count: number): string => `[${Array.from({ length: count }, () => members(1_000)).join(',')}]`;
    expect(parseJsonBody(bytesOf(inAll(99)))).toHaveLength(99);
    expect(refusalOf(inAll(100))).toEqual({ code: 'invalid-request', path: '' });
    expect(refusalOf(`[${elements(50_000)},${elements(49_999)}]`)).toEqual({ code: 'invalid-request', path: '' });
    expect(parseJsonBody(bytesOf(`[${elements(50_000)},${elements(49_998)}]`))).toHaveLength(2);
  });
});

describe('a JSON body is read as JSON.parse reads it when it', () => {
  it.each([
    ['is a lone value', '"text"'],
    [
      'has floats past 2^53 that are written back as they are',
      '[6.02214076e+23,3.4028234663852886e+38,1e+16,1E+30,-1e16]',
    ],
    ['has 2^53 and its negative', '[9007199254740992,-9007199254740992,9007199254740992.0]'],
    ['names members constructor and prototype', '[{"constructor":{"prototype":1}},{"prototype":null}]'],
    ['is null', 'null'],
    ['has the largest exact integers', '[9007199254740991,-9007199254740991]'],
    ['has exponents that stay exact', '[1e15,1E2,25e-1,9.007199254740991e15]'],
    ['has a number too small to hold', '[1e-400,-0]'],
    ['has many decimals', '[0.1234567890123456789,123456789012345.678901234]'],
    ['is nested 64 deep', nest(64)],
    ['has proper pairs, escaped and raw', '["\\ud83d\\ude00","😀","\\uD83D\\uDE00x"]'],
    ['has brackets, quotes and backslashes in strings', '{"a[{":"]}\\"\\\\","\\\\":"\\\\\\""}'],
    ['says u0000 without meaning it', '["\\\\u0000","\\\\ud800"]'],
    ['names the forbidden in values and almost in names', '{"a":"__proto__","__proto":2,"_proto__":3}'],
    ['repeats names in different objects', '[{"a":1},{"a":{"a":{}}}]'],
    ['names a member like a method of all objects', '{"toString":1,"hasOwnProperty":2,"length":3,"0":4,"1":5}'],
    ['has white space everywhere', ' \n[ \t1 ,\r\n{ "a" : [ ] } , { } ] '],
    ['has long strings with an escape far in', `["${'x'.repeat(300)}\\"${'y'.repeat(300)}","${'z'.repeat(100)}"]`],
    [
      'has brackets in a long string after an escaped quote',
      `["${'x'.repeat(300)}\\"${'y'.repeat(99)}${'['.repeat(99)}"]`,
    ],
    ['has every kind of escape', '"\\b\\f\\n\\r\\t\\/\\\\\\"\\u00e9"'],
    ['has line separators', '"\u2028\u2029"'],
  ])('%s', (_what, text) => {
    expect(parseJsonBody(bytesOf(text))).toEqual(JSON.parse(text));
  });

  it('is a view into a larger buffer', () => {
    const larger = Buffer.from('x{"a":1}x');
    expect(parseJsonBody(larger.subarray(1, -1))).toEqual({ a: 1 });
    expect(parseJsonBody(new Uint8Array(larger.subarray(1, -1)))).toEqual({ a: 1 });
  });
});

/** A number in decimal notation times 10^400, exactly; tiny ones are 0. */
function scaled(text: string): bigint {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const power = Number(exponent) - fraction.length + 400;
  return power < 0 ? 0n : BigInt(`${sign}${whole}${fraction}`) * 10n ** BigInt(power);
}

/** A JSON value before it is text, so that it may say what no JavaScript value can: a name twice, a number of any size. */
type Tree =
  | { kind: 'raw'; text: string; isFine: boolean }
  | { kind: 'string'; units: number[] }
  | { kind: 'array'; items: Tree[] }
  | { kind: 'object'; members: [name: number[], value: Tree][] };

const unitsOf = (text: string): number[] => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));

const anyUnit = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 0xd7ff }) },
  { weight: 1, arbitrary: fc.constantFrom(0x22, 0x5c, 0x5b, 0x7d, 0x0a, 0x1f, 0x75) },
);
const hostileUnits = fc.constantFrom([0], [0xd800], [0xdfff], [0xd83d, 0xde00], [0xde00, 0xd83d]);
/** Long enough to be crossed by native search. */
const filler = fc.option(fc.constant(unitsOf('x'.repeat(40))), { freq: 3, nil: [] });
const units = fc
  .tuple(
    fc.array(anyUnit, { maxLength: 30 }),
    filler,
    fc.option(hostileUnits, { freq: 30, nil: [] }),
    filler,
    fc.array(anyUnit, { maxLength: 4 }),
    filler,
  )
  .map((parts) => parts.flat());
const names = fc.oneof(
  { weight: 12, arbitrary: units },
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'toString').map(unitsOf) },
  { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', 'prototype').map(unitsOf) },
);
const numbers = fc
  .oneof(
    fc.integer().map(String),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
    fc
      .tuple(fc.integer({ min: 1, max: 99 }), fc.constantFrom('e', 'E', 'e+', 'e-'), fc.nat(20))
      .map((parts) => parts.join('')),
    fc.bigInt({ min: -(2n ** 54n), max: 2n ** 54n }).map(String),
  )
  .map((text): Tree => {
    const value = Number(text);
    return {
      kind: 'raw',
      text,
      isFine: Number.isFinite(value) && (!Number.isInteger(value) || scaled(text) === scaled(String(value))),
    };
  });
const { tree: trees } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.constantFrom('true', 'false', 'null').map((text): Tree => ({ kind: 'raw', text, isFine: true })),
    numbers,
    units.map((text): Tree => ({ kind: 'string', units: text })),
    fc.array(tie('tree'), { maxLength: 4 }).map((items): Tree => ({ kind: 'array', items })),
    fc.array(fc.tuple(names, tie('tree')), { maxLength: 4 }).map((members): Tree => ({ kind: 'object', members })),
  ),
}));

/** What the rules say of a tree, written without looking at how the parser finds out. */
function isFine(tree: Tree): boolean {
  switch (tree.kind) {
    case 'raw':
      return tree.isFine;
    case 'string':
      return isFineText(tree.units);
    case 'array':
      return tree.items.every(isFine);
    case 'object': {
      const texts = tree.members.map(([name]) => String.fromCharCode(...name));
      return (
        new Set(texts).size === texts.length &&
        !texts.includes('__proto__') &&
        tree.members.every(([name, value]) => isFineText(name) && isFine(value))
      );
    }
  }
}

function isFineText(text: number[]): boolean {
  const asText = String.fromCharCode(...text);
  return !text.includes(0) && Buffer.from(asText).toString() === asText;
}

/** Text of a tree, in one of its many spellings: `pick` decides where to escape and where to leave space. */
function render(tree: Tree, pick: () => number): string {
  const space = (): string => ['', '', '', ' ', '\n', '\t\r '][pick() % 6] ?? '';
  const renderText = (text: number[]): string => {
    let written = '';
    text.forEach((unit, at) => {
      const next = text[at + 1] ?? 0;
      const before = text[at - 1] ?? 0;
      const isPair =
        (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000) ||
        (unit >= 0xdc00 && before >= 0xd800 && before < 0xdc00);
      const mustEscape = unit < 0x20 || unit === 0x22 || unit === 0x5c || (unit >= 0xd800 && unit < 0xe000);
      const hexadecimal = unit.toString(16).padStart(4, '0');
      if (mustEscape || isPair || pick() % 8 === 0)
        written += `\\u${pick() % 2 === 0 ? hexadecimal : hexadecimal.toUpperCase()}`;
      else written += String.fromCharCode(unit);
    });
    return `"${written}"`;
  };
  const inner = (value: Tree): string => space() + render(value, pick) + space();
  switch (tree.kind) {
    case 'raw':
      return tree.text;
    case 'string':
      return renderText(tree.units);
    case 'array':
      return tree.items.length === 0 ? `[${space()}]` : `[${tree.items.map(inner).join(',')}]`;
    case 'object':
      return tree.members.length === 0
        ? `{${space()}}`
        : `{${tree.members.map(([name, value]) => `${space()}${renderText(name)}${space()}:${inner(value)}`).join(',')}}`;
  }
}

function picker(choices: number[]): () => number {
  let at = 0;
  return () => choices[at++ % choices.length] ?? 0;
}
const choices = fc.array(fc.nat(1000), { minLength: 1, maxLength: 40 });

describe('for generated JSON texts', () => {
  it('accepts exactly those that hold nothing refused, and reads them as JSON.parse does', () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(trees, choices, (tree, picks) => {
        const text = render(tree, picker(picks));
        const expected: unknown = JSON.parse(text);
        if (isFine(tree)) {
          accepted += 1;
          expect(parseJsonBody(bytesOf(text))).toEqual(expected);
        } else {
          refused += 1;
          expect(refusalOf(text).code).toBe('invalid-request');
        }
      }),
      { numRuns: 3000 },
    );
    // The generator is worth something only while it makes both.
    expect(Math.min(accepted, refused)).toBeGreaterThan(200);
  });

  it('throws nothing but its own errors, and accepts nothing that strict JSON does not, after bytes are changed', () => {
    const mutation = fc.tuple(
      fc.nat(),
      fc.constantFrom('set', 'insert', 'delete', 'cut'),
      fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\{}[]:,u0-e.'))),
    );
    fc.assert(
      fc.property(trees, choices, fc.array(mutation, { minLength: 1, maxLength: 4 }), (tree, picks, mutations) => {
        let bytes = [...bytesOf(render(tree, picker(picks)))];
        for (const [place, how, byte] of mutations) {
          const at = place % (bytes.length + 1);
          if (how === 'set') bytes[at] = byte;
          else if (how === 'insert') bytes.splice(at, 0, byte);
          else if (how === 'delete') bytes.splice(at, 1);
          else bytes = bytes.slice(0, at);
        }
        const changed = Uint8Array.from(bytes);
        const outcome = attempt(() => parseJsonBody(changed));
        if (outcome instanceof DomainError) {
          expect(['malformed-json', 'invalid-request']).toContain(outcome.code);
        } else {
          const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(changed);
          expect(outcome).toEqual(JSON.parse(strict));
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('throws nothing but its own errors for random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const outcome = attempt(() => parseJsonBody(bytes));
        if (outcome instanceof DomainError) expect(['malformed-json', 'invalid-request']).toContain(outcome.code);
        else expect(outcome).toEqual(JSON.parse(Buffer.from(bytes).toString()));
      }),
      { numRuns: 2000 },
    );
  });

  it('leaves the prototype of all objects as it was', () => {
    const before = Reflect.ownKeys(Object.prototype);
    refusalOf('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
    expect(Reflect.ownKeys(Object.prototype)).toEqual(before);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

/** The value, or the domain error; any other error is thrown on and fails the test. */
function attempt(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}
