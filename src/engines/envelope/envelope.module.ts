import { Global, Module } from '@nestjs/common';
import { Envelope } from './envelope.js';
import { Rotation } from './rotation.js';
import { SealedStores } from './sealed-stores.js';

@Global()
@Module({ providers: [Envelope, SealedStores, Rotation], exports: [Envelope, SealedStores, Rotation] })
export class EnvelopeModule {}
