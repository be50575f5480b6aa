import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** Format version of a sealed value; an unknown one does not open. */
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Short public name of a root key: tells which key sealed a row, reveals nothing of it. */
export function rootKeyId(rootKey: Buffer): string {
  return createHash('sha256').update('taskyard root key id\0').update(rootKey).digest('hex').slice(0, 16);
}

/**
 * AES-256-GCM with a random nonce: `version | nonce | ciphertext | tag`. The context (purpose and name of the row) is associated
 * data, so a value moved to another row does not open. NIST SP 800-38D.
 */
export function seal(key: Buffer, context: string, plain: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associatedData(context));
  return Buffer.concat([Buffer.from([VERSION]), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** The plain bytes, or null where the key, the context or the bytes are not the ones sealed. */
export function open(key: Buffer, context: string, sealed: Buffer): Buffer | null {
  if (sealed.length < 1 + NONCE_BYTES + TAG_BYTES || sealed[0] !== VERSION) {
    return null;
  }
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(associatedData(context))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

function associatedData(context: string): Buffer {
  return Buffer.from(`taskyard:${VERSION}:${context}`, 'utf8');
}
