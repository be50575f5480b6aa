import { hkdfSync } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { KeyRing } from '../keyring/keyring.js';

const BYTES = 32;
/** Signed with at most: the present key and the one before it. */
const MAX_KEYS = 2;

/**
 * Secrets that requests to outside are signed with. Derived (HKDF-SHA256, RFC 5869) from the instance's keys and what they are for,
 * so nothing is stored, and the same question has the same answer on every replica. The origin is part of it: whoever receives at
 * one place cannot sign for another, and moving an agent elsewhere leaves the old place with a secret that is good for nothing.
 */
@Injectable()
export class SigningSecrets {
  constructor(private readonly ring: KeyRing) {}

  /** Newest first. */
  ofAgent(organizationId: string, agentId: string, url: string): Buffer[] {
    const info = `taskyard/agent-signing/v1\0${organizationId}\0${agentId}\0${new URL(url).origin}`;
    return this.ring.presign
      .slice(0, MAX_KEYS)
      .map(({ secret }) => Buffer.from(hkdfSync('sha256', secret, '', info, BYTES)));
  }
}
