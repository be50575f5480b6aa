/**
 * Hints between parts that do not know each other. A hint says "look again" and nothing else: it carries no data, may be lost,
 * doubled, or arrive before what it hints at is visible. Whoever waits for one also looks by itself once a second, so that losing
 * every hint costs latency and never an event.
 */
export abstract class EventBus {
  /** Tells whoever listens to the topic, on any replica the driver reaches. Never throws, never waits. Call it after the commit. */
  abstract publish(topic: string): void;

  /** Calls the listener for each hint until the returned function is called. */
  abstract subscribe(topic: string, listener: () => void): () => void;

  /** Resolves at the next hint on the topic, after `timeoutMs`, or when the signal aborts; whichever is first. Never rejects. */
  async wait(topic: string, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) {
      return;
    }
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        unsubscribe();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      const unsubscribe = this.subscribe(topic, done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }
}

/** Something was appended to the run's log. */
export function streamTopic(runId: string): string {
  return `stream:${runId}`;
}

/** Something was appended to some log: for feeds over many runs. Nobody publishes it; every notification of a stream is also this one. */
export const ANY_STREAM_TOPIC = 'stream';

export function isStreamTopic(topic: string): boolean {
  return topic.startsWith('stream:');
}

/** Work became due in the organization. */
export function workTopic(organizationId: string): string {
  return `work:${organizationId}`;
}

/** Something was put into the outbox that no log tells of. */
export const OUTBOX_TOPIC = 'outbox';

export function isWorkTopic(topic: string): boolean {
  return topic.startsWith('work:');
}

/** Work became due somewhere: for processes that serve every organization. Nobody publishes it; every notification of work is also this one. */
export const ANY_WORK_TOPIC = 'work';
