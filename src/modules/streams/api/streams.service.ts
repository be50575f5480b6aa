import { Injectable } from '@nestjs/common';
import { readScope, type Actor } from '../../../access/index.js';
import { DomainError, notFound } from '../../../kernel/errors.js';
import { type StreamUrl, StreamLinks } from './stream-links.js';
import { type StreamPage, type StreamPosition, StreamsRepository } from '../log/streams.repository.js';
import { gapBetween } from '../log/stream-event.js';
import type { EventsQuery, StreamEvents } from './streams.schema.js';

/** Most of a page of `/events`, about. */
const PAGE_BYTES = 256 * 1024;

@Injectable()
export class StreamsService {
  constructor(
    private readonly repository: StreamsRepository,
    private readonly links: StreamLinks,
  ) {}

  /**
   * Events after a position, with the stream's state in the same instant.
   * @throws DomainError `not-found`; `cursor-ahead` for a position that the stream has not come to
   */
  async page(actor: Actor, runId: string, after: number, most: number): Promise<StreamPage> {
    const scope = readScope(actor, 'stream:read');
    return reached(after, await this.repository.page(scope, runId, after, { events: most, bytes: PAGE_BYTES }));
  }

  /**
   * Where the stream stands, for a reader that comes with a cursor.
   * @throws DomainError `not-found`; `cursor-ahead` for a position that the stream has not come to
   */
  async position(actor: Actor, runId: string, after: number): Promise<StreamPosition> {
    return reached(after, await this.repository.position(readScope(actor, 'stream:read'), runId));
  }

  /** The same as JSON, with what the next call needs. */
  async listEvents(actor: Actor, runId: string, query: EventsQuery): Promise<StreamEvents> {
    const after = query.after ?? 0;
    const { events, lastSeq, ended } = await this.page(actor, runId, after, query.limit);
    return {
      data: events,
      next_after: events.at(-1)?.seq ?? lastSeq,
      last_seq: lastSeq,
      ended,
      gap: gapBetween(after, events[0]?.seq ?? lastSeq + 1),
    };
  }

  /** A presigned link to a stream that the actor may read. */
  async createUrl(actor: Actor, runId: string): Promise<StreamUrl> {
    const scope = readScope(actor, 'stream:read');
    if (!(await this.repository.isReadable(scope, runId))) {
      throw notFound('stream');
    }
    return this.links.streamUrl(actor, runId);
  }
}

function reached<Position extends { lastSeq: number }>(after: number, position: Position | null): Position {
  if (position === null) {
    throw notFound('stream');
  }
  if (after > position.lastSeq) {
    throw new DomainError('cursor-ahead', `The stream has come to event ${position.lastSeq}, not yet to ${after}.`);
  }
  return position;
}
