import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type AccessDeclaration, type Actor, readScope } from '../../../access/index.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { Authenticator } from '../../../http/guards/authenticator.js';
import { rawHeaders } from '../../../http/connections/raw-headers.js';
import { Clock } from '../../../kernel/clock.js';
import { notFound } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { encoderOf } from '../formats/encoders.js';
import { Subscription } from './subscription.js';
import { LifecycleQuery } from '../sources/lifecycle.query.js';
import {
  assertSettled,
  cursorText,
  fromTheOldest,
  LifecycleCursors,
  lifecycleSource,
  startingNow,
} from '../sources/lifecycle-source.js';
import { ConnectionRegistry } from './connection-registry.js';
import { runSource } from '../sources/run-source.js';
import { type SubscribeRequest, FeedHub } from './feed-hub.js';
import { acceptedFormat, MEDIA_TYPES, type StreamFormat } from '../formats/stream-format.js';
import { STREAM_LINK_PURPOSE } from '../api/stream-links.js';
import { StreamResponseWriter } from './stream-response-writer.js';
import { type PageSize, StreamsRepository } from '../log/streams.repository.js';
import {
  cursorOf,
  feedCursorOf,
  FOLLOW_PARAMETERS,
  OLDEST,
  type FeedQuery,
  type FollowQuery,
} from '../api/streams.schema.js';
import { StreamsService } from '../api/streams.service.js';
import { TaskFeedQuery } from '../sources/task-feed.query.js';
import { assertReached, positionText, TASK_START, TaskCursors, taskSource } from '../sources/task-source.js';

/** What the route that is followed here declares; who is behind it is looked up again while it is open. */
export const FOLLOW_ACCESS = {
  kind: 'requires',
  action: 'stream:read',
  presigned: STREAM_LINK_PURPOSE,
  parameters: FOLLOW_PARAMETERS,
} as const satisfies AccessDeclaration;

/** One request to read a stream as it grows. */
export interface StreamRequest {
  actor: Actor;
  runId: string;
  query: FollowQuery;
  request: FastifyRequest;
  reply: FastifyReply;
}

/** One request to read a feed over many runs. */
export interface TaskStreamRequest {
  actor: Actor;
  taskId: string;
  query: FeedQuery;
  request: FastifyRequest;
  reply: FastifyReply;
}

/** What the routes over many runs declare. */
const FEED_ACCESS = {
  kind: 'requires',
  action: 'stream:read',
  presigned: null,
  parameters: [],
} as const satisfies AccessDeclaration;

const NO_EVENTS: PageSize = { events: 0, bytes: 0 };

/** What is read, by whom, from where. */
interface Reading extends Omit<SubscribeRequest, 'request' | 'renewActor'> {
  access: AccessDeclaration;
  format: StreamFormat;
  cursor: string;
  /** Where a download ends; null: where there is no more. */
  until: string | null;
}

/** Answers the routes that follow a log: decides by the cursor, then hands the raw reply to a reader that outlives the handler. */
@Injectable()
export class StreamDelivery {
  constructor(
    private readonly streams: StreamsService,
    private readonly repository: StreamsRepository,
    private readonly taskFeed: TaskFeedQuery,
    private readonly lifecycle: LifecycleQuery,
    private readonly sealer: CursorCodec,
    private readonly openStreams: ConnectionRegistry,
    private readonly feeds: FeedHub,
    private readonly authenticator: Authenticator,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /**
   * Sends the stream, or 204 where there is nothing more to come. Whatever is refused is thrown before the first byte.
   * @throws DomainError `not-found`, `cursor-ahead`, `invalid-request`, `not-acceptable`, `limit-reached`, `unavailable`
   */
  async deliver({ actor, runId, query, request, reply }: StreamRequest): Promise<void> {
    const format = query.format ?? acceptedFormat(request.headers.accept);
    const cursor = cursorOf(request.headers['last-event-id'], query);
    const { lastSeq, ended } = await this.streams.position(actor, runId, cursor);
    if (ended && cursor === lastSeq) {
      // To a browser's EventSource, 204 is the word for "do not come back".
      void reply.status(204).send();
      return;
    }
    const { repository } = this;
    this.#follow(request, reply, {
      actor,
      access: FOLLOW_ACCESS,
      format,
      cursor: String(cursor),
      until: String(lastSeq),
      subject: `run ${runId}`,
      source: () => runSource(repository, actor.organizationId, runId),
      isReadable: (reader) => repository.isReadable(readScope(reader, 'stream:read'), runId),
    });
  }

  /**
   * Sends the events of all runs of a task, those to come included.
   * @throws DomainError as `deliver` does, and `invalid-cursor`
   */
  async deliverTask({ actor, taskId, query, request, reply }: TaskStreamRequest): Promise<void> {
    const format = query.format ?? acceptedFormat(request.headers.accept);
    const given = feedCursorOf(request.headers['last-event-id'], query);
    const cursors = new TaskCursors(this.sealer, actor.organizationId, taskId);
    const { taskFeed, repository } = this;
    const isReadable = (reader: Actor): Promise<boolean> =>
      taskFeed.isReadable(readScope(reader, 'stream:read'), taskId);
    if (!(await isReadable(actor))) {
      throw notFound('task');
    }
    const position = given === null || given === OLDEST ? TASK_START : cursors.open(given);
    assertReached((await taskFeed.page(readScope(actor, 'stream:read'), taskId, position, NO_EVENTS)) ?? []);
    this.#follow(request, reply, {
      actor,
      access: FEED_ACCESS,
      format,
      cursor: positionText(position),
      until: null,
      subject: `task ${taskId}`,
      source: () => taskSource(taskFeed, repository, cursors, actor.organizationId, taskId),
      isReadable,
    });
  }

  /**
   * Sends what happens to the runs that the actor may see.
   * @throws DomainError as `deliver` does, and `invalid-cursor`
   */
  async deliverLifecycle({ actor, query, request, reply }: Omit<TaskStreamRequest, 'taskId'>): Promise<void> {
    const format = query.format ?? acceptedFormat(request.headers.accept);
    const given = feedCursorOf(request.headers['last-event-id'], query);
    const cursors = new LifecycleCursors(this.sealer, actor.organizationId);
    const { lifecycle, clock, repository } = this;
    const now = await lifecycle.now(readScope(actor, 'stream:read'));
    const cursor = given === null ? startingNow(now) : given === OLDEST ? fromTheOldest(now) : cursors.open(given);
    assertSettled(cursor, now);
    this.#follow(request, reply, {
      actor,
      access: FEED_ACCESS,
      format,
      cursor: cursorText(cursor),
      until: null,
      subject: `lifecycle ${actor.organizationId}`,
      source: (group, name) => lifecycleSource(lifecycle, repository, cursors, clock, group, name),
      isReadable: (reader) => lifecycle.isLive(readScope(reader, 'stream:read')),
    });
  }

  #follow(request: FastifyRequest, reply: FastifyReply, reading: Reading): void {
    const { actor, access, format, cursor, until } = reading;
    if (request.method === 'HEAD') {
      void reply.headers(headersOf(format)).send();
      return;
    }
    // Set before anybody can call: a place is told things only later.
    let reader: Subscription | null = null;
    const place = this.openStreams.enter(actor, {
      onStop: () => reader?.disconnect('shutdown'),
      onCut: () => reader?.cut(),
    });
    const { feed, group, leave } = this.feeds.enter({
      ...reading,
      request,
      renewActor: (one) => this.authenticator.authenticate(one, access, { fresh: true }),
    });
    reader = new Subscription({
      feed,
      group,
      cursor,
      until,
      encoder: encoderOf(format),
      outlet: (onChange) => new StreamResponseWriter(reply.raw, onChange),
      clock: this.clock,
      onClosed: () => {
        leave();
        place.leave();
      },
      onFault: (error) =>
        this.log.error('a stream broke off', { request_id: request.id, feed: feed.source.key, error }),
    });
    const headers = { ...rawHeaders(reply), ...headersOf(format) };
    reply.hijack();
    reader.open(headers);
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
