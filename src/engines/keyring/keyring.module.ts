import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { Clock } from '../../kernel/clock.js';
import { CursorSealer } from '../signed-url/cursor-sealer.js';
import { UrlSigner } from '../signed-url/url-signer.js';
import { KeyRing } from './keyring.js';
import { KeyringRepository } from './keyring.repository.js';

@Global()
@Module({
  providers: [
    KeyringRepository,
    {
      provide: KeyRing,
      inject: [KeyringRepository, AppConfig],
      useFactory: (repository: KeyringRepository, config: AppConfig) => KeyRing.load(repository, config.rootKey()),
    },
    {
      provide: UrlSigner,
      inject: [KeyRing, Clock],
      useFactory: (ring: KeyRing, clock: Clock) => new UrlSigner(ring.presign, clock),
    },
    { provide: CursorSealer, inject: [KeyRing], useFactory: (ring: KeyRing) => new CursorSealer(ring.cursor) },
  ],
  exports: [KeyRing, UrlSigner, CursorSealer],
})
export class KeyringModule {}
