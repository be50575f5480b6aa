import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import {
  Egress,
  EgressError,
  type EgressFailure,
  type EgressReply,
  MemberEgress,
} from '../../../infrastructure/egress/egress.js';
import { signatureHeaders } from '../../../infrastructure/egress/standard-webhooks.js';
import { Clock } from '../../../kernel/clock.js';
import { CallbackPresenter } from './callback-presenter.js';
import { DispatchRepository, type DueDelivery } from './dispatch.repository.js';
import { retryAfterSeconds } from './retry-schedule.js';

/** What came of one attempt. `statusCode` is null where no answer came, `error` null where it was a good one. */
export interface Attempted {
  statusCode: number | null;
  error: EgressFailure | 'refused' | null;
  /** Until the status was there. */
  durationMs: number;
  /** There was no connection (DNS, TCP, TLS): it would fail for every address of the host. */
  isHostFailure: boolean;
  /** What the receiver asked for. */
  retryAfterSeconds: number | null;
}

const TOTAL_TIMEOUT_MS = 15_000;
/** For the rest of a reply whose status is known; a body that has not ended by then has its connection closed. */
const BODY_TIMEOUT_MS = 1_000;
/** Read so that the connection can be used again, and thrown away: what a receiver says is nobody's to see. */
const REPLY_BYTES = 16 * 1024;
/** Statuses that say when to come back. */
const ASKS_TO_WAIT: readonly number[] = [429, 503];

/** One signed POST. Never throws for what the receiver does; throws the signal's reason where that ended it. */
@Injectable()
export class DeliveryAttempt {
  constructor(
    private readonly egress: Egress,
    private readonly memberEgress: MemberEgress,
    private readonly presenter: CallbackPresenter,
    private readonly repository: DispatchRepository,
    private readonly clock: Clock,
  ) {}

  async make(
    scope: WriteScope,
    laneId: string,
    delivery: DueDelivery,
    secrets: readonly Buffer[],
    signal: AbortSignal,
  ): Promise<Attempted> {
    const body = delivery.body ?? (await this.#render(scope, delivery));
    const startedMs = performance.now();
    const since = (): number => Math.round(performance.now() - startedMs);
    const nowMs = this.clock.nowMs();
    try {
      // Admins set up endpoints; a callback is any member's.
      const reply = await (delivery.isEndpoint ? this.egress : this.memberEgress).send({
        url: delivery.url,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'Taskyard',
          'taskyard-payload-version': String(delivery.payloadVersion),
          'taskyard-order-key': delivery.orderKey,
          'taskyard-attempt': String(delivery.attemptCount + 1),
          ...signatureHeaders({ id: delivery.messageId, timestampSeconds: Math.floor(nowMs / 1000), body }, secrets),
        },
        body,
        totalTimeoutMs: TOTAL_TIMEOUT_MS,
        replyLimitBytes: REPLY_BYTES,
        signal,
        shared: `${scope.organizationId} ${laneId}`,
      });
      const durationMs = since();
      await forget(reply);
      const { status } = reply;
      return {
        statusCode: status,
        error: status >= 200 && status < 300 ? null : 'refused',
        durationMs,
        isHostFailure: false,
        retryAfterSeconds: ASKS_TO_WAIT.includes(status)
          ? retryAfterSeconds(reply.headers.get('retry-after'), nowMs)
          : null,
      };
    } catch (error) {
      if (error instanceof EgressError) {
        return {
          statusCode: null,
          error: error.kind,
          durationMs: since(),
          isHostFailure: error.phase === 'connect' && error.kind !== 'barred',
          retryAfterSeconds: null,
        };
      }
      throw error;
    }
  }

  async #render(scope: WriteScope, { messageId, facts }: DueDelivery): Promise<string> {
    if (facts === null) {
      throw new Error('a message has neither body nor facts');
    }
    return this.repository.keepBody(scope, messageId, JSON.stringify(this.presenter.present(facts)));
  }
}

/** The status is the answer; a body that is too long, breaks off or does not end does not change it. */
async function forget(reply: EgressReply): Promise<void> {
  try {
    await reply.drain(BODY_TIMEOUT_MS);
  } catch (error) {
    reply.discard();
    if (!(error instanceof EgressError)) {
      throw error;
    }
  }
}
