import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../../access/index.js';
import { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { Clock } from '../../../kernel/clock.js';
import type { FeedSource } from '../sources/feed-source.js';
import { EncodedPageCache } from './encoded-page-cache.js';
import { AuthorizationGroup } from './authorization-group.js';
import { FeedBroadcaster } from './feed-broadcaster.js';

/** A reader that wants in. */
export interface SubscribeRequest {
  actor: Actor;
  request: FastifyRequest;
  /** `name` is the group's own. */
  source: (group: AuthorizationGroup, name: string) => FeedSource;
  /** Names what is read; with the credential, the group. */
  subject: string;
  isReadable: (actor: Actor) => Promise<boolean>;
  renewActor: (request: FastifyRequest) => Promise<Actor>;
}

interface GroupMembership {
  group: AuthorizationGroup;
  requests: Set<FastifyRequest>;
}

/** Every feed that somebody in this process reads, and who reads with the same credential. */
@Injectable()
export class FeedHub {
  readonly #feeds = new Map<string, FeedBroadcaster>();
  readonly #groups = new Map<string, GroupMembership>();
  readonly #shelf = new EncodedPageCache();

  constructor(
    private readonly bus: EventBus,
    private readonly clock: Clock,
  ) {}

  /** The feed and the group of a reader. `leave` when the reader is gone; the reader itself joins and leaves the feed. */
  enter(newcomer: SubscribeRequest): { feed: FeedBroadcaster; group: AuthorizationGroup; leave: () => void } {
    const { request, subject } = newcomer;
    const name = `${subject} ${credentialOf(request)}`;
    let membership = this.#groups.get(name);
    if (membership === undefined) {
      membership = this.#found(newcomer);
      this.#groups.set(name, membership);
    }
    const { group, requests } = membership;
    requests.add(request);
    return {
      feed: this.#feed(newcomer.source(group, name)),
      group,
      leave: () => {
        requests.delete(request);
        if (requests.size === 0) {
          this.#groups.delete(name);
        }
      },
    };
  }

  #found({ actor, request, isReadable, renewActor }: SubscribeRequest): GroupMembership {
    const requests = new Set<FastifyRequest>();
    const group = new AuthorizationGroup({
      actor,
      clock: this.clock,
      count: () => this.#groups.size,
      isReadable,
      // Any of them will do: they came with the same credential.
      renewActor: () => renewActor(requests.values().next().value ?? request),
    });
    return { group, requests };
  }

  #feed(source: FeedSource): FeedBroadcaster {
    let feed = this.#feeds.get(source.key);
    if (feed === undefined) {
      feed = new FeedBroadcaster(source, this.#shelf, this.bus, () => this.#feeds.delete(source.key));
      this.#feeds.set(source.key, feed);
    }
    return feed;
  }
}

/** The same text for requests that carry the same credential, and no way back to it. */
function credentialOf({ headers, url }: FastifyRequest): string {
  const signature = new URLSearchParams(url.slice(url.indexOf('?') + 1)).get('signature');
  const parts = [headers.authorization, headers['api-key'], headers['apikey'], headers['x-api-key'], signature];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
