import { Global, Module } from '@nestjs/common';
import { Envelope } from './envelope.js';
import { Rotation } from './rotation.js';
import { ReencryptionRegistry } from './reencryption-registry.js';

@Global()
@Module({ providers: [Envelope, ReencryptionRegistry, Rotation], exports: [Envelope, ReencryptionRegistry, Rotation] })
export class EnvelopeModule {}
