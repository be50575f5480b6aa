import type { FeedFrame } from '../sources/feed-source.js';

/** Why the server ends a stream that has more to come. The client resumes from its cursor, if it may. */
export type ReconnectReason = 'shutdown' | 'age' | 'rights' | 'unavailable';

/** How one format words a stream. Every method gives the characters to send, none of which end another frame too early. */
export interface StreamEncoder {
  /** True where the reader stays until the end; false for a download of what is there. */
  readonly follows: boolean;
  /** True where every reader is sent the same characters, so that a page is worded once for all. */
  readonly isShared: boolean;
  /** Sent first, at once, so that clients and proxies see that the stream is open. */
  opening(): string;
  frame(frame: FeedFrame): string;
  /** Sent where nothing else was for a while; empty where the format has no word for it. */
  heartbeat(): string;
  /** Sent before the server ends early; null where that can only be told by breaking the connection. */
  reconnect(after: string | number, reason: ReconnectReason): string | null;
}
