import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

/** How often the system asks whether a silent peer is still there; heartbeats ask too, but not every format has them. */
const KEEP_ALIVE_MS = 15_000;

/** The sending end of one reply, as little of it as a feed needs. Tells by `onChange` that it drained or closed. */
export class StreamOutlet {
  readonly #raw: ServerResponse;

  constructor(raw: ServerResponse, onChange: () => void) {
    this.#raw = raw;
    raw.on('drain', onChange);
    raw.on('close', onChange);
    // A peer that went away is no news; 'close' follows.
    raw.on('error', onChange);
    raw.socket?.setKeepAlive(true, KEEP_ALIVE_MS).setNoDelay(true);
  }

  /** Sends the head at once, before there is anything to say. */
  open(headers: OutgoingHttpHeaders): void {
    this.#raw.writeHead(200, headers);
    this.#raw.flushHeaders();
  }

  /** True once the reply is over: all of it handed to the system, or the connection lost. */
  get isClosed(): boolean {
    return this.#raw.closed || this.#raw.destroyed;
  }

  /** True while what was written last has not all been handed to the system. */
  get isFull(): boolean {
    return this.#raw.writableNeedDrain;
  }

  write(text: string): void {
    this.#raw.write(text);
  }

  /** Ends the reply as complete. */
  end(): void {
    this.#raw.end();
  }

  /** Breaks the connection, so that the reply can never be taken for a whole one. */
  cut(): void {
    this.#raw.destroy();
  }
}
