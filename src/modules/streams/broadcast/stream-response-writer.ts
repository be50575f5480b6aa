import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How often the system asks whether a silent peer is still there; heartbeats ask too, but not every format has them. */
const KEEP_ALIVE_MS = 15_000;

/** Bytes as they go to the socket: one chunk of the chunked coding, framed once and sent to however many readers. */
export class EncodedChunk {
  readonly framed: Buffer;
  readonly isEmpty: boolean;
  readonly #start: number;

  constructor(text: string) {
    const head = `${Buffer.byteLength(text).toString(16)}\r\n`;
    this.framed = Buffer.from(`${head}${text}\r\n`);
    this.#start = head.length;
    this.isEmpty = text === '';
  }

  /** The bytes without the coding, for clients of HTTP/1.0. */
  get plain(): Buffer {
    return this.framed.subarray(this.#start, -2);
  }
}

/**
 * The sending end of one reply, as little of it as a feed needs. Tells by `onChange` that it drained or closed.
 *
 * The body goes straight to the socket: what is framed once for all readers (RFC 9112, section 7.1) need not be framed again, copied
 * or corked for each. The head before it and the last chunk after it are Node's.
 */
export class StreamResponseWriter {
  readonly #raw: ServerResponse;
  readonly #socket: Socket | null;
  readonly #onChange: () => void;

  constructor(raw: ServerResponse, onChange: () => void) {
    this.#raw = raw;
    this.#socket = raw.socket;
    this.#onChange = onChange;
    raw.on('close', onChange);
    // A peer that went away is no news; 'close' follows.
    raw.on('error', onChange);
    this.#socket?.setKeepAlive(true, KEEP_ALIVE_MS).setNoDelay(true);
  }

  /** Sends the head at once, before there is anything to say. */
  open(headers: OutgoingHttpHeaders): void {
    this.#socket?.on('drain', this.#onChange);
    this.#raw.writeHead(200, headers);
    this.#raw.flushHeaders();
  }

  /** True once the reply is over: all of it handed to the system, or the connection lost. */
  get isClosed(): boolean {
    return this.#raw.closed || this.#raw.destroyed || this.#socket === null || this.#socket.destroyed;
  }

  /** True while what was written last has not all been handed to the system. */
  get isFull(): boolean {
    return this.#socket?.writableNeedDrain ?? false;
  }

  /** Bytes that wait here for the reader. */
  get unsentBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /**
   * Writes where there is room for it; false where the reader has to read first. So what waits here is less than the socket's own
   * mark and one chunk: well under 256 KiB, since pages are 64 KiB, but for a single event that is larger.
   */
  offer(chunk: EncodedChunk): boolean {
    const socket = this.#socket;
    if (socket === null || socket.writableNeedDrain) {
      return false;
    }
    if (chunk.isEmpty) {
      // In the chunked coding an empty chunk is the end.
      return true;
    }
    socket.write(this.#raw.chunkedEncoding ? chunk.framed : chunk.plain);
    return true;
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
