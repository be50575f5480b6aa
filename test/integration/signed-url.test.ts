import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CursorCodec } from '../../src/infrastructure/signed-urls/cursor-codec.js';
import { SigningKeys, type SigningKey } from '../../src/infrastructure/signed-urls/signing-keys.js';
import { UrlSigner, type LinkGrant } from '../../src/infrastructure/signed-urls/url-signer.js';
import { Clock } from '../../src/kernel/clock.js';
import { DomainError } from '../../src/kernel/errors.js';
import { newId } from '../../src/kernel/ids.js';

class FixedClock extends Clock {
  constructor(private ms: number) {
    super();
  }

  nowMs(): number {
    return this.ms;
  }

  set(ms: number): void {
    this.ms = ms;
  }
}

const NOW_MS = Date.UTC(2026, 10, 22);
const key = (id: string): SigningKey => ({ id, secret: randomBytes(32) });
const keys = [key('k1')];
const clock = new FixedClock(NOW_MS);
const signer = new UrlSigner(keys, clock);

const grant = (over: Partial<LinkGrant> = {}): LinkGrant => ({
  purpose: 'asset:get',
  resource: newId(),
  issuer: newId(),
  organization: newId(),
  credential: null,
  expiresAtMs: NOW_MS + 60_000,
  ...over,
});

/** A query as Fastify hands it over: a repeated name becomes an array. */
function parse(query: string): Record<string, unknown> {
  const params = Object.create(null) as Record<string, unknown>;
  for (const name of new Set(new URLSearchParams(query).keys())) {
    const values = new URLSearchParams(query).getAll(name);
    params[name] = values.length === 1 ? values[0] : values;
  }
  return params;
}

function refusal(attempt: () => unknown): { code: string; message: string } {
  try {
    attempt();
  } catch (error) {
    if (error instanceof DomainError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('it was accepted');
}

const REFUSED_LINK = {
  code: 'unauthenticated',
  message: 'This link is not valid or has expired; ask for a new one.',
};

const extraName = fc.stringMatching(/^x[a-z0-9_]{0,10}$/);
const wellFormed = fc.string({ unit: 'binary', maxLength: 20 });
const anyExtras = fc.uniqueArray(fc.tuple(extraName, wellFormed), { selector: ([name]) => name, maxLength: 4 });

describe('signed links', () => {
  it('give back what was signed, with extras in the order of their names', () => {
    fc.assert(
      fc.property(anyExtras, fc.uuid(), fc.uuid(), fc.uuid(), (extras, resource, issuer, organization) => {
        const query = signer.sign(grant({ resource, issuer, organization, extras }));
        expect(signer.verify('asset:get', resource, parse(query))).toEqual({
          issuer,
          organization,
          credential: null,
          expiresAtMs: NOW_MS + 60_000,
          extras: [...extras].sort(([one], [other]) => (one < other ? -1 : 1)),
        });
      }),
    );
  });

  it('hold whatever the order of the query is', () => {
    const given = grant({
      extras: [
        ['b', '2'],
        ['a', '1'],
      ],
    });
    const backwards = [...new URLSearchParams(signer.sign(given))].reverse();
    expect(signer.verify('asset:get', given.resource, parse(new URLSearchParams(backwards).toString())).extras).toEqual(
      [
        ['a', '1'],
        ['b', '2'],
      ],
    );
  });

  it('say which credential they were asked for with, and hold with none where they were', () => {
    const [session, publicId] = [newId(), 'operator.Zt3mXq9V0aBcD1eF2gH-_J'];
    for (const credential of [session, publicId, null]) {
      const given = grant({ credential });
      expect(signer.verify('asset:get', given.resource, parse(signer.sign(given))).credential).toBe(credential);
    }
    const bound = grant({ credential: session });
    const { credential: _, ...unbound } = parse(signer.sign(bound));
    expect(refusal(() => signer.verify('asset:get', bound.resource, unbound))).toEqual(REFUSED_LINK);
    const free = grant();
    const claimed = { ...parse(signer.sign(free)), credential: session };
    expect(refusal(() => signer.verify('asset:get', free.resource, claimed))).toEqual(REFUSED_LINK);
    // Nor is it an extra by another name, or one of them the credential.
    const extra = parse(signer.sign(grant({ resource: bound.resource, extras: [['x', session]] })));
    const { x, ...renamed } = extra;
    expect(refusal(() => signer.verify('asset:get', bound.resource, { ...renamed, credential: x }))).toEqual(
      REFUSED_LINK,
    );
    expect(() => signer.sign(grant({ credential: 'a b' }))).toThrow(TypeError);
  });

  it('are refused after any change of one bit, in any name or value', () => {
    const given = grant({
      credential: newId(),
      extras: [
        ['disposition', 'inline'],
        ['epoch', '7'],
      ],
    });
    const params = parse(signer.sign(given));
    let tried = 0;
    for (const [name, value] of Object.entries(params)) {
      for (const changedValue of oneBitApart(String(value))) {
        tried += 1;
        const changed = { ...params, [name]: changedValue };
        expect(refusal(() => signer.verify('asset:get', given.resource, changed))).toEqual(REFUSED_LINK);
      }
      for (const changedName of oneBitApart(name)) {
        tried += 1;
        const { [name]: moved, ...rest } = params;
        expect(refusal(() => signer.verify('asset:get', given.resource, { ...rest, [changedName]: moved }))).toEqual(
          REFUSED_LINK,
        );
      }
    }
    expect(tried).toBeGreaterThan(1000);
  });

  it('are refused for another purpose, and for another resource by one bit', () => {
    const given = grant();
    const params = parse(signer.sign(given));
    expect(refusal(() => signer.verify('stream:get', given.resource, params))).toEqual(REFUSED_LINK);
    for (const resource of oneBitApart(given.resource)) {
      expect(refusal(() => signer.verify('asset:get', resource, params))).toEqual(REFUSED_LINK);
    }
  });

  it('are refused when values move between fields, also when the joined text stays the same', () => {
    const given = grant({
      extras: [
        ['a', '12'],
        ['b', '3'],
      ],
    });
    const params = parse(signer.sign(given));
    const swaps = [
      { ...params, issuer: params['organization'], organization: params['issuer'] },
      { ...params, a: '1', b: '23' },
      { ...params, a: params['b'], b: params['a'] },
      { ...params, a: '', b: '123' },
    ];
    for (const swapped of swaps) {
      expect(refusal(() => signer.verify('asset:get', given.resource, swapped))).toEqual(REFUSED_LINK);
    }
    const purposeAndResource = grant({ purpose: 'ab', resource: given.resource });
    const moved = parse(signer.sign(purposeAndResource));
    expect(refusal(() => signer.verify('a', `b${given.resource}`, moved))).toEqual(REFUSED_LINK);
  });

  it('are refused with a parameter added, dropped or repeated', () => {
    const given = grant({ credential: newId(), extras: [['disposition', 'inline']] });
    const query = signer.sign(given);
    const params = parse(query);
    const verify = (changed: Record<string, unknown>) =>
      refusal(() => signer.verify('asset:get', given.resource, changed));
    expect(verify({ ...params, download: 'true' })).toEqual(REFUSED_LINK);
    expect(verify({ ...params, '': '' })).toEqual(REFUSED_LINK);
    for (const name of Object.keys(params)) {
      const { [name]: dropped, ...rest } = params;
      expect(verify(rest)).toEqual(REFUSED_LINK);
      expect(verify(parse(`${query}&${name}=${String(dropped)}`))).toEqual(REFUSED_LINK);
    }
  });

  it('are refused, never an error of another kind, whatever the query holds', () => {
    const anything = fc.dictionary(
      fc.oneof(
        fc.constantFrom('expires', 'issuer', 'organization', 'credential', 'key', 'signature'),
        fc.string({ unit: 'binary' }),
      ),
      fc.anything(),
    );
    fc.assert(
      fc.property(anything, (params) => {
        expect(refusal(() => signer.verify('asset:get', newId(), params))).toEqual(REFUSED_LINK);
      }),
    );
  });

  it('hold until the second they expire in, and are refused from then on', () => {
    const given = grant({ expiresAtMs: NOW_MS + 1999 });
    const params = parse(signer.sign(given));
    clock.set(NOW_MS + 999);
    expect(signer.verify('asset:get', given.resource, params).expiresAtMs).toBe(NOW_MS + 1000);
    clock.set(NOW_MS + 1000);
    expect(refusal(() => signer.verify('asset:get', given.resource, params))).toEqual(REFUSED_LINK);
    clock.set(NOW_MS);
  });

  it('outlive a change of keys while the old key is kept, and die with it', () => {
    const given = grant();
    const params = parse(signer.sign(given));
    const next = key('k2');
    expect(new UrlSigner([next, ...keys], clock).verify('asset:get', given.resource, params)).toBeDefined();
    expect(refusal(() => new UrlSigner([next], clock).verify('asset:get', given.resource, params))).toEqual(
      REFUSED_LINK,
    );
    const impostor = { id: 'k1', secret: next.secret };
    expect(refusal(() => new UrlSigner([impostor], clock).verify('asset:get', given.resource, params))).toEqual(
      REFUSED_LINK,
    );
    const signedByNew = new UrlSigner([next, ...keys], clock).sign(given);
    expect(parse(signedByNew)['key']).toBe('k2');
    // Naming the other key of the ring does not help.
    expect(
      refusal(() =>
        new UrlSigner([next, ...keys], clock).verify('asset:get', given.resource, { ...parse(signedByNew), key: 'k1' }),
      ),
    ).toEqual(REFUSED_LINK);
  });

  it('are not made from a malformed grant', () => {
    expect(() => signer.sign(grant({ resource: '../x' }))).toThrow(TypeError);
    expect(() => signer.sign(grant({ issuer: 'me' }))).toThrow(TypeError);
    expect(() => signer.sign(grant({ expiresAtMs: Number.NaN }))).toThrow(TypeError);
    expect(() => signer.sign(grant({ purpose: '' }))).toThrow(TypeError);
    expect(() => signer.sign(grant({ extras: [['signature', 'x']] }))).toThrow(TypeError);
    expect(() =>
      signer.sign(
        grant({
          extras: [
            ['a', '1'],
            ['a', '2'],
          ],
        }),
      ),
    ).toThrow(TypeError);
    expect(() => signer.sign(grant({ extras: [['a', '\ud800']] }))).toThrow(TypeError);
  });
});

describe('sealed cursors', () => {
  const sealer = new CursorCodec(keys);
  const refusedCursor = {
    code: 'invalid-cursor',
    message: 'This cursor does not belong to this list; start again without one.',
  };
  const position = fc.array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.integer(),
      // JSON has one zero.
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0)),
      fc.constant(null),
    ),
    { maxLength: 4 },
  );

  it('open to the position they were sealed with, under the same context', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), position, (context, sealed) => {
        const cursor = sealer.seal(context, sealed);
        expect(cursor).toMatch(/^[A-Za-z0-9._-]{1,1024}$/);
        expect(sealer.open(context, cursor)).toEqual(sealed);
      }),
    );
  });

  it('are refused under another context', () => {
    const cursor = sealer.seal('tenant|route|filter', ['2026-11-22', newId()]);
    expect(refusal(() => sealer.open('tenant|route|other', cursor))).toEqual(refusedCursor);
    expect(refusal(() => sealer.open('', cursor))).toEqual(refusedCursor);
  });

  it('are refused after any change of one bit, cut or lengthened', () => {
    const cursor = sealer.seal('list', ['2026-11-22T00:00:00.123456Z', newId(), 17, null]);
    const changed = [
      ...oneBitApart(cursor),
      cursor.slice(0, -1),
      cursor.slice(1),
      `${cursor}A`,
      `${cursor}=`,
      ` ${cursor}`,
      '',
    ];
    for (const text of changed) expect(refusal(() => sealer.open('list', text))).toEqual(refusedCursor);
  });

  it('are refused, never an error of another kind, whatever the text is', () => {
    const anyCursor = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^k1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{43}$/),
    );
    fc.assert(
      fc.property(anyCursor, (text) => {
        expect(refusal(() => sealer.open('list', text))).toEqual(refusedCursor);
      }),
    );
  });

  it('are at most 1 KiB, made or read', () => {
    expect(() => sealer.seal('list', ['x'.repeat(1000)])).toThrow(TypeError);
    expect(refusal(() => sealer.open('list', `k1.${'A'.repeat(2_000_000)}.${'A'.repeat(43)}`))).toEqual(refusedCursor);
  });

  it('do not hold numbers that JSON lacks', () => {
    expect(() => sealer.seal('list', [Number.NaN])).toThrow(TypeError);
    expect(() => sealer.seal('list', [Number.POSITIVE_INFINITY])).toThrow(TypeError);
  });

  it('do not show the position, and have one text for one position', () => {
    const id = newId();
    const cursor = sealer.seal('list', [id, 17]);
    expect(sealer.seal('list', [id, 17])).toBe(cursor);
    const [, payload = ''] = cursor.split('.');
    expect(Buffer.from(payload, 'base64url').toString('latin1')).not.toContain(id.slice(0, 8));
    const [, other = ''] = sealer.seal('another list', [id, 17]).split('.');
    expect(other).not.toBe(payload);
  });

  it('of earlier versions, signed and readable, are still opened under their own context', () => {
    const payload = Buffer.from(JSON.stringify(['a', 17, null])).toString('base64url');
    const cursor = `k1.${payload}.${new SigningKeys(keys).sign('cursor/1', ['list', 'k1', payload])}`;
    expect(sealer.open('list', cursor)).toEqual(['a', 17, null]);
    expect(refusal(() => sealer.open('other', cursor))).toEqual(refusedCursor);
  });

  it('outlive a change of keys while the old key is kept', () => {
    const cursor = sealer.seal('list', ['a']);
    expect(new CursorCodec([key('k2'), ...keys]).open('list', cursor)).toEqual(['a']);
    expect(refusal(() => new CursorCodec([key('k2')]).open('list', cursor))).toEqual(refusedCursor);
  });
});

describe('signing keys', () => {
  it('are refused when there are none, when short, malformed or named twice', () => {
    expect(() => new SigningKeys([])).toThrow(TypeError);
    expect(() => new SigningKeys([{ id: 'k1', secret: randomBytes(31) }])).toThrow(TypeError);
    expect(() => new SigningKeys([key('a.b')])).toThrow(TypeError);
    expect(() => new SigningKeys([key('k1'), key('k1')])).toThrow(TypeError);
  });

  it('give different lists of strings different signatures, and one use nothing of another', () => {
    const ring = new SigningKeys(keys);
    // Code units, lone surrogates among them: these too must stay apart.
    const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
    const list = fc.array(fc.string({ unit, maxLength: 4 }), { maxLength: 4 });
    fc.assert(
      fc.property(list, list, (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(ring.sign('use', one) === ring.sign('use', other)).toBe(same);
        expect(ring.verify('k1', 'another use', one, ring.sign('use', one))).toBe(false);
      }),
    );
    expect(ring.sign('use', ['ab', 'c'])).not.toBe(ring.sign('use', ['a', 'bc']));
    expect(ring.sign('use', ['\ud800'])).not.toBe(ring.sign('use', ['\ufffd']));
    expect(ring.sign('use', ['1:a'])).not.toBe(ring.sign('use', ['a']));
  });
});

function* oneBitApart(text: string): Generator<string> {
  for (let index = 0; index < text.length; index += 1) {
    for (let bit = 0; bit < 7; bit += 1) {
      const changed = String.fromCharCode(text.charCodeAt(index) ^ (1 << bit));
      yield text.slice(0, index) + changed + text.slice(index + 1);
    }
  }
}
