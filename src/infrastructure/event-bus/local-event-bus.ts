import { EventEmitter } from 'node:events';
import { ANY_STREAM_TOPIC, ANY_WORK_TOPIC, EventBus, isStreamTopic, isWorkTopic } from './event-bus.js';

/** Hints within one process; other replicas find out by looking, within a second. */
export class LocalEventBus extends EventBus {
  readonly #emitter = new EventEmitter().setMaxListeners(0);

  publish(topic: string): void {
    this.#emitter.emit(topic);
    if (isStreamTopic(topic)) {
      this.#emitter.emit(ANY_STREAM_TOPIC);
    }
    if (isWorkTopic(topic)) {
      this.#emitter.emit(ANY_WORK_TOPIC);
    }
  }

  subscribe(topic: string, listener: () => void): () => void {
    this.#emitter.on(topic, listener);
    return () => this.#emitter.off(topic, listener);
  }

  /** As if every topic that somebody listens to had been hinted at. */
  protected wakeAll(): void {
    for (const topic of this.#emitter.eventNames()) {
      this.#emitter.emit(topic);
    }
  }
}
