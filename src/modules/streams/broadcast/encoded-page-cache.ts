import type { FeedPage, FeedSource } from '../sources/feed-source.js';
import { sseEncoder } from '../formats/sse-encoder.js';
import { EncodedChunk } from './stream-response-writer.js';

/** Pages kept for readers that come to them a little later: each about 64 KiB of text. */
const KEPT_PAGES = 96;

/** A page, worded once for all its readers. */
export class EncodedPage {
  #sse: EncodedChunk | null = null;

  constructor(
    readonly page: FeedPage,
    /** How often its feed had been hinted at when the page was read: what came with a later hint may not be in it. */
    readonly hintsBefore: number,
  ) {}

  /** True where a reader is further on after it; there may be nothing in it that this reader is to see. */
  get isFurther(): boolean {
    return this.page.next !== this.page.after;
  }

  /** The page as server-sent events, framed for the wire. */
  get sse(): EncodedChunk {
    this.#sse ??= new EncodedChunk(this.page.frames.map((frame) => sseEncoder.frame(frame)).join(''));
    return this.#sse;
  }
}

/**
 * The pages of all feeds of this process, each read and worded once. What a page says never changes, so one that is kept is as good as
 * one that is read now, unless retention has deleted some of it: that is asked each time, by all who come at once together, and costs
 * far less than the reading. A page that leads nowhere is not kept, for something may have come since.
 */
export class EncodedPageCache {
  readonly #kept = new Map<string, EncodedPage>();
  readonly #reading = new Map<string, Promise<EncodedPage | null>>();

  /** The page after a cursor; null where the log is gone. `hints` is asked when the reading begins. */
  async page(source: FeedSource, after: string, hints: () => number): Promise<EncodedPage | null> {
    const place = `${source.key} ${after}`;
    const underWay = this.#reading.get(place);
    if (underWay !== undefined) {
      return underWay;
    }
    const reading = this.#keptOrRead(source, after, hints).finally(() => this.#reading.delete(place));
    this.#reading.set(place, reading);
    return reading;
  }

  async #keptOrRead(source: FeedSource, after: string, hints: () => number): Promise<EncodedPage | null> {
    const place = `${source.key} ${after}`;
    const kept = this.#kept.get(place);
    if (kept !== undefined) {
      if (await source.isKept(kept.page)) {
        return kept;
      }
      this.#kept.delete(place);
    }
    return this.#read(source, after, hints());
  }

  async #read(source: FeedSource, after: string, hintsBefore: number): Promise<EncodedPage | null> {
    const page = await source.read(after);
    if (page === null) {
      return null;
    }
    const shared = new EncodedPage(page, hintsBefore);
    if (shared.isFurther) {
      this.#keep(`${source.key} ${after}`, shared);
    }
    return shared;
  }

  #keep(place: string, page: EncodedPage): void {
    this.#kept.set(place, page);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_PAGES) {
        break;
      }
      this.#kept.delete(oldest);
    }
  }
}
