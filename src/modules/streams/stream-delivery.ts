import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AccessDeclaration, Actor } from '../../access/index.js';
import { EventBus, streamTopic } from '../../engines/event-bus/event-bus.js';
import { Authenticator } from '../../http/authenticator.js';
import { rawHeaders } from '../../http/raw-headers.js';
import { Clock } from '../../kernel/clock.js';
import { Log } from '../../kernel/log.js';
import { encoderOf } from './encoders.js';
import { OpenStreams } from './open-streams.js';
import { PAGE_EVENTS, StreamFeed } from './stream-feed.js';
import { acceptedFormat, MEDIA_TYPES, type StreamFormat } from './stream-format.js';
import { STREAM_LINK_PURPOSE } from './stream-links.js';
import { StreamOutlet } from './stream-outlet.js';
import { StreamsRepository } from './streams.repository.js';
import { cursorOf, FOLLOW_PARAMETERS, type FollowQuery } from './streams.schema.js';
import { StreamsService } from './streams.service.js';
import { Wakeups } from './wakeups.js';

/** What the route that is followed here declares; who is behind it is looked up again while it is open. */
export const FOLLOW_ACCESS = {
  kind: 'requires',
  action: 'stream:read',
  presigned: STREAM_LINK_PURPOSE,
  parameters: FOLLOW_PARAMETERS,
} as const satisfies AccessDeclaration;

/** One request to read a stream as it grows. */
export interface StreamVisit {
  actor: Actor;
  runId: string;
  query: FollowQuery;
  request: FastifyRequest;
  reply: FastifyReply;
}

/** Answers `GET /streams/{id}`: decides by the cursor, then hands the raw reply to a feed that outlives the handler. */
@Injectable()
export class StreamDelivery {
  constructor(
    private readonly streams: StreamsService,
    private readonly repository: StreamsRepository,
    private readonly openStreams: OpenStreams,
    private readonly authenticator: Authenticator,
    private readonly bus: EventBus,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /**
   * Sends the stream, or 204 where there is nothing more to come. Whatever is refused is thrown before the first byte.
   * @throws DomainError `not-found`, `cursor-ahead`, `invalid-request`, `not-acceptable`, `limit-reached`, `unavailable`
   */
  async deliver({ actor, runId, query, request, reply }: StreamVisit): Promise<void> {
    const format = query.format ?? acceptedFormat(request.headers.accept);
    const cursor = cursorOf(request.headers['last-event-id'], query);
    const first = await this.streams.page(actor, runId, cursor, PAGE_EVENTS);
    if (first.ended && cursor === first.lastSeq) {
      // To a browser's EventSource, 204 is the word for "do not come back".
      void reply.status(204).send();
      return;
    }
    if (request.method === 'HEAD') {
      void reply.headers(headersOf(format)).send();
      return;
    }
    const wakeups = new Wakeups();
    const outlet = new StreamOutlet(reply.raw, wakeups.wake);
    const place = this.openStreams.enter(actor.principalId, { onStop: wakeups.wake, onCut: () => outlet.cut() });
    const unsubscribe = this.bus.subscribe(streamTopic(runId), wakeups.wake);
    const feed = new StreamFeed({
      runId,
      actor,
      cursor,
      repository: this.repository,
      encoder: encoderOf(format),
      outlet,
      wakeups,
      clock: this.clock,
      renewActor: () => this.authenticator.authenticate(request, FOLLOW_ACCESS, { fresh: true }),
      isStopping: () => place.isStopping,
    });
    const headers = { ...rawHeaders(reply), ...headersOf(format) };
    reply.hijack();
    void feed
      .run(headers, first)
      .catch((error: unknown) => this.log.error('a stream broke off', { request_id: request.id, run_id: runId, error }))
      .finally(() => {
        unsubscribe();
        place.leave();
      });
  }
}

function headersOf(format: StreamFormat): Record<string, string> {
  return {
    'content-type': `${MEDIA_TYPES[format]}; charset=utf-8`,
    // No proxy may keep, compress or collect what is meant to be seen as it happens.
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
    // The connection has served its purpose when the stream ends; a stop need not wait for it to idle out.
    connection: 'close',
  };
}
