/**
 * Replies around one long array, in bounded memory. Where the whole array is at hand it goes out as any reply does. Otherwise it is
 * written batch by batch as the client takes it: a batch is read only when the one before has left, and not at all once the client
 * is gone. The reply ends well-formed only when every batch was read. After a failure the connection is broken off, since a short
 * array would be a lie; a client that gets an end has got it all. Replies of more than one batch are heavy reads: a caller has few at once.
 */
import { Readable } from 'node:stream';
import { Injectable, StreamableFile } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Log } from '../../kernel/log.js';
import { HeavyReads } from '../interceptors/heavy-reads.js';
import { PublicUrl } from '../request/public-url.js';
import '../request/request.js';

/** A list in batches, the first already read; `nextCursor` where it was asked for by page and there is another. */
export interface ItemSequence<Item> {
  first: readonly Item[];
  rest: AsyncIterable<readonly Item[]> | null;
  nextCursor: string | null;
}

@Injectable()
export class JsonArrayStream {
  constructor(
    private readonly log: Log,
    private readonly publicUrl: PublicUrl,
    private readonly heavyReads: HeavyReads,
  ) {}

  /**
   * The reply with all items, and a `Link` (RFC 8288) to the next page where there is one: the same path and query with its cursor.
   *
   * @param item the body of one item
   * @param whole the body around the items; in it, empty items must be the only `[]`
   * @throws DomainError `rate-limited` where the caller has too many long lists under way
   */
  async of<Item, Shown, Body>(
    reply: FastifyReply,
    sequence: ItemSequence<Item>,
    item: (item: Item) => Shown,
    whole: (items: Shown[]) => Body,
  ): Promise<Body | StreamableFile> {
    const { first, rest, nextCursor } = sequence;
    if (nextCursor !== null) {
      void reply.header('link', `<${this.#sameWith(reply.request.url, nextCursor)}>; rel="next"`);
    }
    if (rest === null) {
      return whole(first.map(item));
    }
    await this.#enter(reply);
    const chunks = this.#chunks(first, rest, item, JSON.stringify(whole([])));
    return new StreamableFile(Readable.from(chunks, { objectMode: false }), {
      type: 'application/json; charset=utf-8',
    });
  }

  /** Waits for a place among the caller's heavy reads, and gives it up when the reply is over. */
  async #enter({ raw, request: { actor } }: FastifyReply): Promise<void> {
    if (actor === undefined) {
      return;
    }
    const leave = await this.heavyReads.enter(actor);
    if (raw.closed || raw.destroyed) {
      leave();
    } else {
      raw.once('close', leave);
    }
  }

  #sameWith(url: string, cursor: string): string {
    const [path = '', query] = url.split('?', 2);
    const parameters = new URLSearchParams(query);
    parameters.set('cursor', cursor);
    return this.publicUrl.to(`${path}?${parameters.toString()}`);
  }

  async *#chunks<Item>(
    first: readonly Item[],
    rest: AsyncIterable<readonly Item[]>,
    item: (item: Item) => unknown,
    frame: string,
  ): AsyncGenerator<string> {
    const [before = '', after = ''] = frame.split('[]');
    const text = (items: readonly Item[]): string => items.map((each) => JSON.stringify(item(each))).join(',');
    try {
      yield `${before}[${text(first)}`;
      for await (const batch of rest) {
        yield `,${text(batch)}`;
      }
      yield `]${after}`;
    } catch (error) {
      this.log.warn('a streamed reply was broken off', { error });
      throw error;
    }
  }
}
