/**
 * What waits in this process's memory for clients that do not read their replies. A stalled client is cut off after a while
 * (`stalled-replies.ts`), but until then, and of a client that reads a byte now and then, each large reply is held whole. So a principal with much
 * unread is refused further requests until it has read some. Replies that are streamed hold no more than a batch, and small ones are not counted.
 */
import type { FastifyInstance } from 'fastify';
import { DomainError } from '../../kernel/errors.js';

const MIN_COUNTED_LENGTH = 64 * 1024;
const MAX_UNSENT_LENGTH = 32 * 1024 * 1024;
const RETRY_AFTER_SECONDS = 5;

export class UnsentReplies {
  /** Characters or bytes, by principal; those without any are forgotten. */
  readonly #unsent = new Map<string, number>();

  /** To be called once, before routes. */
  count(fastify: FastifyInstance): void {
    fastify.addHook('onSend', (request, { raw }, payload, done) => {
      const principalId = request.actor?.principalId;
      const length = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload.length : 0;
      if (principalId !== undefined && length >= MIN_COUNTED_LENGTH && !raw.closed && !raw.destroyed) {
        this.#add(principalId, length);
        raw.once('close', () => this.#add(principalId, -length));
      }
      done(null, payload);
    });
  }

  /** @throws DomainError `rate-limited` where too much waits for the principal to be read */
  assertRoom(principalId: string): void {
    if ((this.#unsent.get(principalId) ?? 0) >= MAX_UNSENT_LENGTH) {
      throw new DomainError('rate-limited', 'Replies to earlier requests have not been read; read them first.', {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
  }

  #add(principalId: string, change: number): void {
    const length = (this.#unsent.get(principalId) ?? 0) + change;
    if (length === 0) {
      this.#unsent.delete(principalId);
    } else {
      this.#unsent.set(principalId, length);
    }
  }
}
