import { hkdfSync } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { KeyRing } from '../../engines/keyring/keyring.js';
import { open, seal } from '../../engines/keyring/sealed-box.js';

export interface SealContext {
  organizationId: string;
  purpose: string;
  objectId: string;
  version: number;
}

@Injectable()
export class SecretSealer {
  constructor(private readonly ring: KeyRing) {}

  seal(context: SealContext, plain: Uint8Array): { sealed: Buffer; rootKeyId: string } {
    const [key] = this.ring.presign;
    if (key === undefined) throw new Error('no key');
    return { sealed: seal(this.#key(key.secret), JSON.stringify(context), plain), rootKeyId: key.id };
  }

  open(context: SealContext, sealed: Buffer): Buffer {
    for (const { secret } of this.ring.presign) {
      const plain = open(this.#key(secret), JSON.stringify(context), sealed);
      if (plain !== null) return plain;
    }
    throw new Error('a signing secret does not open');
  }

  #key(secret: Buffer): Buffer {
    return Buffer.from(hkdfSync('sha256', secret, '', 'taskyard/hook-secrets/v1', 32));
  }
}
