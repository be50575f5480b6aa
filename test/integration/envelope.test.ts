import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../src/config/app-config.js';
import { Envelope, EnvelopeError, type SealContext } from '../../src/infrastructure/envelope/envelope.js';
import { RootKeys } from '../../src/infrastructure/keyring/root-keys.js';
import { newId } from '../../src/kernel/ids.js';

const old = randomBytes(32);
const present = randomBytes(32);
const context: SealContext = { organizationId: newId(), purpose: 'secret', objectId: newId(), version: 3 };
const before = new Envelope(new RootKeys([old]));
const between = new Envelope(new RootKeys([present, old]));
const after = new Envelope(new RootKeys([present]));

describe('a sealed value', () => {
  const { sealed } = before.seal(context, 'hunter2 pässword');

  test('opens for what it was sealed for', () => {
    expect(before.open(context, sealed).toString('utf8')).toBe('hunter2 pässword');
    expect(before.open(context, before.seal(context, '').sealed)).toHaveLength(0);
  });

  test.each([
    ['organisation', { organizationId: newId() }],
    ['purpose', { purpose: 'webhook' }],
    ['object', { objectId: newId() }],
    ['version', { version: 4 }],
  ])('does not open for another %s', (_, other) => {
    expect(() => before.open({ ...context, ...other }, sealed)).toThrow(EnvelopeError);
  });

  test('does not open with any one bit of it changed, and never breaks otherwise', () => {
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(() => before.open(context, changed)).toThrow(EnvelopeError);
    }
    for (let length = 0; length < sealed.length; length += 1) {
      expect(() => before.open(context, sealed.subarray(0, length))).toThrow(EnvelopeError);
    }
  });

  test('says nothing of its value, and no two sealings are alike', () => {
    const records = Array.from({ length: 2000 }, () => before.seal(context, 'hunter2 pässword').sealed.toString('hex'));
    const parts = records.flatMap((record) => [record.slice(20, 44), record.slice(142, 166)]);
    expect(new Set(parts).size).toBe(parts.length);
    expect(records.some((record) => record.includes(Buffer.from('hunter2').toString('hex')))).toBe(false);
  });
});

describe('when the root key changes', () => {
  const { sealed, rootKeyId } = before.seal(context, 'kept');
  const rewrapped = between.rewrap(context, sealed);

  test('what the old one sealed opens while both are set, and after it is re-wrapped without the old one', () => {
    expect(between.open(context, sealed).toString()).toBe('kept');
    expect(() => after.open(context, sealed)).toThrow(`root key ${rootKeyId}, which is not set`);
    expect(after.open(context, rewrapped.sealed).toString()).toBe('kept');
    expect(rewrapped.rootKeyId).not.toBe(rootKeyId);
    expect(() => before.open(context, rewrapped.sealed)).toThrow(EnvelopeError);
  });

  test('the value itself is carried over untouched', () => {
    expect(rewrapped.sealed.subarray(70)).toEqual(sealed.subarray(70));
    expect(rewrapped.sealed.subarray(0, 70)).not.toEqual(sealed.subarray(0, 70));
    expect(between.rewrap(context, rewrapped.sealed).rootKeyId).toBe(rewrapped.rootKeyId);
  });

  test('several root keys are read from one variable, the first being the primary', () => {
    const keys = [present, old].map((key) => key.toString('base64'));
    const roots = new RootKeys(loadConfig({ ROOT_KEY: keys.join(',\n') }).rootKeys());
    expect(roots.ids).toEqual([rewrapped.rootKeyId, rootKeyId]);
    expect(roots.primary.secret).toEqual(present);
    expect(() => loadConfig({ ROOT_KEY: `${keys[0]},c2hvcnQ=` }).rootKeys()).toThrow('32 bytes');
  });
});
