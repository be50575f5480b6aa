import { EventEmitter } from 'node:events';
import { EventBus } from './event-bus.js';

/** Hints within one process; other replicas find out by looking, within a second. */
export class LocalEventBus extends EventBus {
  readonly #emitter = new EventEmitter().setMaxListeners(0);

  publish(topic: string): void {
    this.#emitter.emit(topic);
  }

  subscribe(topic: string, listener: () => void): () => void {
    this.#emitter.on(topic, listener);
    return () => this.#emitter.off(topic, listener);
  }
}
