import { createHash, createHmac } from 'node:crypto';
import { open, seal } from '../../../infrastructure/keyring/sealed-box.js';

const CONTEXT = 'refresh-successor';

/** What is stored of a refresh token: 256 random bits need no more than SHA-256. */
export function refreshDigest(token: string): Buffer {
  return createHash('sha256').update('taskyard refresh token\0').update(token).digest();
}

/**
 * The successor, so that only who holds the token it replaced can read it: the database alone, or a copy of it, shows no token
 * that works.
 */
export function sealSuccessor(token: string, successor: string): Buffer {
  return seal(sealingKey(token), CONTEXT, Buffer.from(successor, 'utf8'));
}

/** The successor sealed under this token; null where it was not. */
export function openSuccessor(token: string, sealed: Buffer): string | null {
  return open(sealingKey(token), CONTEXT, sealed)?.toString('utf8') ?? null;
}

function sealingKey(token: string): Buffer {
  return createHmac('sha256', token).update('taskyard refresh successor').digest();
}
