/**
 * Envelope encryption of what the product keeps for its users: secrets, and what hooks are signed with.
 *
 * Every value is sealed by a data key of its own (AES-256-GCM), made for that one sealing, so no nonce can meet its key twice. The data
 * key is sealed in turn by a wrapping key that HKDF derives from a root key and the organisation. What both are bound to (associated
 * data) is the format, the organisation, the purpose, the object and its version: a record copied to another row, organisation or
 * version does not open. Changing the root key re-wraps the data key alone; the value itself is not touched, nor seen.
 *
 *   record = format (1) | root key id (8) | sealed data key (61) | sealed value
 *
 * A record of an unknown format, or of a root key that this process was not given, does not open: {@link EnvelopeError}, never a guess.
 * NIST SP 800-38D; RFC 5869.
 */
import { hkdfSync, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { open, seal } from '../keyring/sealed-box.js';
import { type RootKey, RootKeys } from '../keyring/root-keys.js';

const FORMAT = 1;
const ID_BYTES = 8;
const KEY_BYTES = 32;
/** A sealed data key: version, nonce, key, tag; see sealed-box. */
const WRAPPED_BYTES = 1 + 12 + KEY_BYTES + 16;
const HEAD_BYTES = 1 + ID_BYTES;

/** What a sealed value belongs to. It opens for exactly this. */
export interface SealContext {
  organizationId: string;
  /** What the value is for, a constant word of whoever seals: `secret`, `webhook`, `callback`. */
  purpose: string;
  /** Id of the row it is kept in. */
  objectId: string;
  /** Raised with every new value of the object. */
  version: number;
}

/** A record, and the root key it is under: kept in a column beside it, so that rotation finds it. */
export interface SealedValue {
  sealed: Buffer;
  rootKeyId: string;
}

/** A record that does not open. Says why, for operators; holds nothing of the value. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
}

@Injectable()
export class Envelope {
  constructor(private readonly roots: RootKeys) {}

  /** Ids of the root keys that this process can open, the primary first. */
  get rootKeyIds(): readonly string[] {
    return this.roots.ids;
  }

  /** Seals under the primary root key. */
  seal(context: SealContext, plain: Uint8Array | string): SealedValue {
    const dataKey = randomBytes(KEY_BYTES);
    const bytes = typeof plain === 'string' ? Buffer.from(plain, 'utf8') : plain;
    const sealed = this.#assemble(context, dataKey, seal(dataKey, bound('value', context), bytes));
    dataKey.fill(0);
    return sealed;
  }

  /** The plain bytes. @throws EnvelopeError */
  open(context: SealContext, sealed: Buffer): Buffer {
    const { dataKey, value } = this.#unwrap(context, sealed);
    const plain = open(dataKey, bound('value', context), value);
    dataKey.fill(0);
    if (plain === null) {
      throw new EnvelopeError(`the value of ${named(context)} does not open`);
    }
    return plain;
  }

  /** The same value under the primary root key. @throws EnvelopeError */
  rewrap(context: SealContext, sealed: Buffer): SealedValue {
    const { dataKey, value } = this.#unwrap(context, sealed);
    const rewrapped = this.#assemble(context, dataKey, value);
    dataKey.fill(0);
    return rewrapped;
  }

  #assemble(context: SealContext, dataKey: Buffer, value: Buffer): SealedValue {
    const root = this.roots.primary;
    const wrapped = seal(wrappingKey(root, context), bound('key', context), dataKey);
    const head = Buffer.concat([Buffer.from([FORMAT]), Buffer.from(root.id, 'hex')]);
    return { sealed: Buffer.concat([head, wrapped, value]), rootKeyId: root.id };
  }

  #unwrap(context: SealContext, sealed: Buffer): { dataKey: Buffer; value: Buffer } {
    if (sealed.length <= HEAD_BYTES + WRAPPED_BYTES || sealed[0] !== FORMAT) {
      throw new EnvelopeError(`the record of ${named(context)} is of no known format`);
    }
    const id = sealed.subarray(1, HEAD_BYTES).toString('hex');
    const root = this.roots.find(id);
    if (root === null) {
      throw new EnvelopeError(`${named(context)} is sealed by root key ${id}, which is not set`);
    }
    const wrapped = sealed.subarray(HEAD_BYTES, HEAD_BYTES + WRAPPED_BYTES);
    const dataKey = open(wrappingKey(root, context), bound('key', context), wrapped);
    if (dataKey === null) {
      throw new EnvelopeError(`the key of ${named(context)} does not open`);
    }
    return { dataKey, value: sealed.subarray(HEAD_BYTES + WRAPPED_BYTES) };
  }
}

/** One per organisation, so that the count of wraps under one key stays far below what random nonces bear. */
function wrappingKey(root: RootKey, context: SealContext): Buffer {
  const info = `taskyard/envelope/v1\0${context.organizationId}`;
  return Buffer.from(hkdfSync('sha256', root.secret, '', info, KEY_BYTES));
}

/** A JSON array, so that no two contexts have one text. */
function bound(layer: 'key' | 'value', context: SealContext): string {
  const { organizationId, purpose, objectId, version } = context;
  return JSON.stringify(['envelope', FORMAT, layer, organizationId, purpose, objectId, version]);
}

function named(context: SealContext): string {
  return `${context.purpose} ${context.objectId} v${context.version}`;
}
