/**
 * Sends what is in the outbox. Every replica does (but those of role `api`), each on its own; what they share is the database.
 *
 * **Lanes.** What is sent to one receiver is a lane: a webhook endpoint, or an origin that callbacks go to. A dispatcher takes a lane by
 * a lease of database time and a fence that rises with each taking; while it holds it, nobody else sends there. So the number of requests
 * at once is exact for each receiver, on however many replicas, and what is written down by one who lost the lane meanwhile is refused.
 * A dispatcher that dies loses its lanes when their leases run out; what it had under way is sent again, with the same id.
 *
 * **At least once.** A message is written by the change that it tells of, in its transaction, and stays pending until an attempt was
 * answered with 2xx and that was written down, or until its ten attempts are over.
 *
 * **The dead do not hold up the living.** Lanes that have never succeeded, or failed last, get a part of the places and one request
 * each; a receiver that fails on is left alone for longer and longer, and a host that cannot be reached is tried by one lane at a time.
 *
 * Hints make it quick and nothing else: whoever hears that a log grew looks for what is due, as everybody does twice a second.
 */
import { setMaxListeners } from 'node:events';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { unsafelySystemScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import { AuditTrail } from '../../../infrastructure/audit-trail/audit-trail.js';
import { ANY_STREAM_TOPIC, EventBus, OUTBOX_TOPIC } from '../../../infrastructure/event-bus/event-bus.js';
import { Log } from '../../../kernel/log.js';
import { DeliveryAttempt } from './delivery-attempt.js';
import {
  DispatchRepository,
  type DueEndpointQueue,
  type EndpointQueueKey,
  type LeasedEndpointQueue,
} from './dispatch.repository.js';
import { WebhookSecretsService } from '../secrets/webhook-secrets.service.js';
import { EndpointDispatcher } from './endpoint-dispatcher.js';

const POLL_INTERVAL_MS = 500;
/** Between looks, however much there is to do, and however many hints come. */
const BUSY_INTERVAL_MS = 25;
/** Lanes at once, and how many of them may be doubtful. */
const MAX_QUEUES = 256;
const MAX_DOUBTFUL = 192;
const CALLED_OFF_AT_ONCE = 500;
/** What is under way when the process is to stop gets so long to be answered. */
const GRACE_MS = 3_000;

const BEGINNING: EndpointQueueKey = {
  organizationId: '00000000-0000-0000-0000-000000000000',
  laneId: '00000000-0000-0000-0000-000000000000',
};

@Injectable()
export class DeliveryDispatcher implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  readonly #abort = new AbortController();
  readonly #running = new Map<Promise<void>, { isDoubtful: boolean }>();
  #after = BEGINNING;
  #loop: Promise<void> = Promise.resolve();
  #wake: () => void = () => undefined;

  constructor(
    private readonly config: AppConfig,
    private readonly repository: DispatchRepository,
    private readonly attempts: DeliveryAttempt,
    private readonly secrets: WebhookSecretsService,
    private readonly trail: AuditTrail,
    private readonly bus: EventBus,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    // Every request under way listens to it.
    setMaxListeners(0, this.#abort.signal);
    if (this.config.role !== 'api') {
      this.#loop = this.#dispatch();
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#loop;
    const ended = new AbortController();
    const grace = delay(GRACE_MS, undefined, { signal: ended.signal }).then(
      () => this.#abort.abort(new Error('the process stops')),
      () => undefined,
    );
    await Promise.all(this.#running.keys());
    ended.abort();
    await grace;
  }

  async #dispatch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const more = await this.#look().catch((error: unknown) => {
        this.log.warn('the dispatcher could not look for what is due; it tries again', { error });
        return false;
      });
      const ended = new AbortController();
      await delay(BUSY_INTERVAL_MS);
      if (!more) {
        await Promise.race([
          woken,
          this.bus.wait(ANY_STREAM_TOPIC, POLL_INTERVAL_MS, ended.signal),
          this.bus.wait(OUTBOX_TOPIC, POLL_INTERVAL_MS, ended.signal),
        ]);
        ended.abort();
      }
    }
  }

  /** Takes what there is room for; true where there are more lanes to look over. */
  async #look(): Promise<boolean> {
    const running = [...this.#running.values()];
    const room = MAX_QUEUES - running.length;
    if (room <= 0) {
      return false;
    }
    const { due, next } = await this.repository.dueLanes(this.#after);
    this.#after = next ?? BEGINNING;
    let doubtful = MAX_DOUBTFUL - running.filter(({ isDoubtful }) => isDoubtful).length;
    const chosen = due.filter(({ isDoubtful }) => !isDoubtful || doubtful-- > 0).slice(0, room);
    if (chosen.length > 0) {
      const leased = await this.repository.lease(chosen);
      for (const lane of leased) {
        const found = chosen.find(
          ({ laneId, organizationId }) => laneId === lane.laneId && organizationId === lane.organizationId,
        );
        if (found !== undefined) {
          this.#start(lane, found);
        }
      }
    }
    return next !== null;
  }

  #start(lane: LeasedEndpointQueue, found: DueEndpointQueue): void {
    const running = this.#serve(lane, found)
      .catch((error: unknown) => {
        this.log.warn('sending broke off; it goes on when the lease has run out', {
          organization_id: lane.organizationId,
          lane_id: lane.laneId,
          error,
        });
      })
      .finally(() => {
        this.#running.delete(running);
        this.#wake();
      });
    this.#running.set(running, found);
  }

  async #serve(lane: LeasedEndpointQueue, found: DueEndpointQueue): Promise<void> {
    const scope = unsafelySystemScope(lane.organizationId, 'send what is due');
    if (found.origin === null) {
      while ((await this.repository.callOff(scope, lane.laneId, CALLED_OFF_AT_ONCE)) === CALLED_OFF_AT_ONCE) {
        this.#stop.signal.throwIfAborted();
      }
      await this.repository.record(scope, lane, [], { ...lane, pauseSeconds: 0 }, true);
      return;
    }
    const secrets = await this.secrets.toSignWith(lane.organizationId, found.isCallback ? null : lane.laneId);
    if (secrets.length === 0) {
      // The endpoint has gone this moment. Nothing is ever sent unsigned.
      await this.repository.record(scope, lane, [], { ...lane, pauseSeconds: 0 }, true);
      return;
    }
    const parts = {
      repository: this.repository,
      attempts: this.attempts,
      trail: this.trail,
      log: this.log,
      secrets,
      stop: this.#stop.signal,
      abort: this.#abort.signal,
    };
    await new EndpointDispatcher(scope, lane, found, parts).run();
  }
}
