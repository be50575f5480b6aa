import { isId } from '../../kernel/ids.js';

declare const blobKeyBrand: unique symbol;
declare const blobPrefixBrand: unique symbol;

/**
 * Where one blob lies: `<organization id>/<asset id>/<part>`, lower case. Nothing a caller of the API wrote can be in it, so it
 * cannot climb out of the store, and a file's name is metadata only. Made by `blobKey` alone.
 */
export type BlobKey = string & { readonly [blobKeyBrand]: true };

/** The beginning of keys: everything, one organisation, or one asset. Made by `blobPrefix` alone. */
export type BlobPrefix = string & { readonly [blobPrefixBrand]: true };

export interface BlobKeyFields {
  organizationId: string;
  assetId: string;
  part: string;
}

/** A word of ours (`original`, `thumbnail`) or a UUID: no dot, no slash, no upper case. */
const PART = /^[a-z0-9](?:[a-z0-9-]{0,34}[a-z0-9])?$/;

/**
 * The key of one part of one asset. Ids in upper case are lowered, so that a file system that ignores case holds the same keys.
 *
 * @throws TypeError when an id is no UUID or `part` is not one lower-case word: that is a bug of the caller, not bad input.
 */
export function blobKey(organizationId: string, assetId: string, part: string): BlobKey {
  requireId(organizationId);
  requireId(assetId);
  if (!PART.test(part)) throw new TypeError('a blob part is one lower-case word of at most 36 characters');
  return `${organizationId.toLowerCase()}/${assetId.toLowerCase()}/${part}` as BlobKey;
}

/** The prefix of all keys, of an organisation's keys, or of an asset's keys. @throws TypeError as `blobKey` does. */
export function blobPrefix(organizationId?: string, assetId?: string): BlobPrefix {
  if (organizationId === undefined) return '' as BlobPrefix;
  requireId(organizationId);
  if (assetId === undefined) return `${organizationId.toLowerCase()}/` as BlobPrefix;
  requireId(assetId);
  return `${organizationId.toLowerCase()}/${assetId.toLowerCase()}/` as BlobPrefix;
}

/** Takes a key apart. Drivers call it even though the type already promises the form: a cast must not become a path. */
export function blobKeyFields(key: BlobKey): BlobKeyFields {
  const [organizationId = '', assetId = '', part = '', ...rest] = key.split('/');
  if (rest.length > 0 || key !== blobKey(organizationId, assetId, part)) throw new TypeError('not a blob key');
  return { organizationId, assetId, part };
}

/** Takes a prefix apart, with the same care as `blobKeyFields`. */
export function blobPrefixFields(prefix: BlobPrefix): { organizationId?: string; assetId?: string } {
  const [organizationId, assetId, ...rest] = prefix.split('/').filter((piece) => piece !== '');
  if (rest.length > 0 || prefix !== blobPrefix(organizationId, assetId)) throw new TypeError('not a blob prefix');
  return { ...(organizationId === undefined ? {} : { organizationId }), ...(assetId === undefined ? {} : { assetId }) };
}

function requireId(value: string): void {
  if (!isId(value)) throw new TypeError('a blob key is built from UUIDs only');
}
