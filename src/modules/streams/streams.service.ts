import { Injectable } from '@nestjs/common';
import { readScope, type Actor } from '../../access/index.js';
import { DomainError, notFound } from '../../kernel/errors.js';
import { gapBetween } from './stream-feed.js';
import { type StreamUrl, StreamLinks } from './stream-links.js';
import { type StreamPage, StreamsRepository } from './streams.repository.js';
import type { EventsQuery, StreamEvents } from './streams.schema.js';

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
    const page = await this.repository.page(readScope(actor, 'stream:read'), runId, after, most);
    if (page === null) {
      throw notFound('stream');
    }
    if (after > page.lastSeq) {
      throw new DomainError('cursor-ahead', `The stream has come to event ${page.lastSeq}, not yet to ${after}.`);
    }
    return page;
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
    return this.links.streamUrl(actor.organizationId, actor.principalId, runId);
  }
}
