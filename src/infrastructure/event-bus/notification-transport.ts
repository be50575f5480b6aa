import { randomInt } from 'node:crypto';

/** How long after a loss the connection is tried again: doubling, with a part left to chance so that replicas do not return as one. */
const RECONNECT_MS = { least: 100, most: 5_000 } as const;

/** What a transport tells the bus. */
export interface TransportListener {
  /** A text that some replica sent, this one included. */
  onMessage: (text: string) => void;
  /** From now on texts of others arrive; whatever they sent before, while there was no connection, is lost. */
  onUp: () => void;
  /** No text arrives until the next `onUp`. */
  onDown: (reason: string) => void;
}

/**
 * Carries short texts between the replicas of one installation, at most once each. It finds its way back by itself after any loss, and
 * neither start nor stop of the process ever waits for it.
 */
export abstract class NotificationTransport {
  /** Most bytes of one text. */
  abstract readonly mostBytes: number;

  /** Begins to connect, and goes on trying until `stop`. */
  abstract start(listener: TransportListener): void;

  /** Hands the texts over, in one round trip. @throws whatever keeps it from doing so; then some or all are lost */
  abstract send(texts: readonly string[]): Promise<void>;

  abstract stop(): Promise<void>;
}

/** The pause before the next try, after `failures` in a row. */
export function reconnectAfterMs(failures: number): number {
  const pauseMs = Math.min(RECONNECT_MS.least * 2 ** Math.min(failures, 10), RECONNECT_MS.most);
  return randomInt(Math.ceil(pauseMs / 2), pauseMs + 1);
}
