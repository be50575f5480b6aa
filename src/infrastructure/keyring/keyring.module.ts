import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { Clock } from '../../kernel/clock.js';
import { CursorCodec } from '../signed-urls/cursor-codec.js';
import { UrlSigner } from '../signed-urls/url-signer.js';
import { KeyRing } from './keyring.js';
import { KeyringRepository } from './keyring.repository.js';
import { RootKeys } from './root-keys.js';

@Global()
@Module({
  providers: [
    KeyringRepository,
    { provide: RootKeys, inject: [AppConfig], useFactory: (config: AppConfig) => new RootKeys(config.rootKeys()) },
    {
      provide: KeyRing,
      inject: [KeyringRepository, RootKeys],
      useFactory: (repository: KeyringRepository, roots: RootKeys) => KeyRing.load(repository, roots),
    },
    {
      provide: UrlSigner,
      inject: [KeyRing, Clock],
      useFactory: (ring: KeyRing, clock: Clock) => new UrlSigner(ring.presign, clock),
    },
    { provide: CursorCodec, inject: [KeyRing], useFactory: (ring: KeyRing) => new CursorCodec(ring.cursor) },
  ],
  exports: [KeyRing, KeyringRepository, RootKeys, UrlSigner, CursorCodec],
})
export class KeyringModule {}
