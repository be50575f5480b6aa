/** A secret is found in whatever spelling a program writes it. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Redactor } from '../../src/modules/secrets/redaction.js';

const AWS = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const MIXED = `pä ss/wörd+"it's" <&> 😀\\n`;

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
const clean = (text: string, value: string): string => new Redactor([['KEY', value]]).text(text);

describe('a secret is replaced whole where it stands', () => {
  test.each([
    ['as it is', AWS, AWS],
    ['by encodeURIComponent', AWS, encodeURIComponent(AWS)],
    ['by quote() of Python, which leaves slashes', AWS, AWS.replaceAll('+', '%2B')],
    ['in lower-case percent-encoding', AWS, encodeURIComponent(AWS).replace(/%../g, (found) => found.toLowerCase())],
    ['in JSON of PHP', AWS, AWS.replaceAll('/', '\\/')],
    ['in JSON', MIXED, JSON.stringify(MIXED).slice(1, -1)],
    ['in JSON within JSON', MIXED, JSON.stringify(JSON.stringify(MIXED)).slice(3, -3)],
    [
      'in JSON of ASCII, as Python writes it',
      MIXED,
      JSON.stringify(MIXED)
        .slice(1, -1)
        .replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    ],
    ['in a form', MIXED, new URLSearchParams({ v: MIXED }).toString().slice(2)],
    [
      'in HTML',
      MIXED,
      MIXED.replaceAll('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll('>', '&gt;')
        .replaceAll('"', '&#34;')
        .replaceAll("'", '&#x27;'),
    ],
    ['in base64', AWS, base64(AWS).replace(/=+$/, '')],
    ['in base64, though it is short', 'pin4', base64('pin4').replace(/=+$/, '')],
    ['in base64url', '>>>???>>>???', Buffer.from('>>>???>>>???').toString('base64url')],
    ['in hexadecimal', AWS, Buffer.from(AWS).toString('hex').toUpperCase()],
  ])('%s', (_where, value, written) => {
    expect(clean(`before ${written} after`, value)).toBe('before [secret KEY] after');
  });
});

describe('of a secret in base64 within a longer text', () => {
  test.each([
    ['a Basic header', (value: string) => `user:${value}`],
    ['a member of JSON', (value: string) => JSON.stringify({ k: value })],
    ['one character in front', (value: string) => `x${value}y`],
    ['two characters in front', (value: string) => `xx${value}yy`],
  ])('nothing but its ends can be decoded: %s', (_what, around) => {
    for (const coded of [base64(around(AWS)), Buffer.from(around(AWS)).toString('base64url')]) {
      const [before = '', after = '', more] = clean(coded, AWS).split('[secret KEY]');
      expect(more).toBeUndefined();
      const left = [before, after].map((part, index) => {
        // The end is decoded from its last whole group backwards.
        const text = Buffer.from(index === 0 ? part : part.slice(part.replace(/=+$/, '').length % 4), 'base64');
        return text.toString('latin1');
      });
      for (let start = 0; start + 3 <= AWS.length; start += 1) {
        expect(left.some((part) => part.includes(AWS.slice(start, start + 3)))).toBe(false);
      }
    }
  });
});

test('a text without the secret stays as it is, whatever characters both have', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 4, maxLength: 30, unit: 'grapheme' }),
      fc.string({ unit: 'grapheme' }),
      (value, text) => {
        fc.pre(value.trim().length >= 4 && !text.includes(value.trim()) && !/[\\%&+]/.test(text));
        expect(clean(text, value)).toBe(text);
      },
    ),
  );
});

test('a long text of what begins like the secret is searched in linear time', () => {
  const value = `${'/'.repeat(60)}x`;
  const text = '/'.repeat(200_000);
  expect(clean(text, value)).toBe(text);
});
