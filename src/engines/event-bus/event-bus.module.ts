import { Global, Module } from '@nestjs/common';
import { EventBus } from './event-bus.js';
import { LocalEventBus } from './local-event-bus.js';

@Global()
@Module({ providers: [{ provide: EventBus, useClass: LocalEventBus }], exports: [EventBus] })
export class EventBusModule {}
