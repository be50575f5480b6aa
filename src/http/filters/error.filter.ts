import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AccessDeniedRecorder } from '../../infrastructure/audit-trail/access-denied-recorder.js';
import { DomainError } from '../../kernel/errors.js';
import { Log } from '../../kernel/log.js';
import { ErrorPresenters, type FailedRequest, type PresentedError } from './error-presenter.js';
import { type Failure, toFailure } from './failure.js';
import { pathOf } from '../request/request.js';

/** The one place where errors become replies and log lines, for Nest's handlers and for Fastify's own refusals alike. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(
    private readonly presenters: ErrorPresenters,
    private readonly refusals: AccessDeniedRecorder,
    private readonly log: Log,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.reply(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  reply(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const failure = toFailure(error);
    this.#record(error, failure.status, request);
    if (failure.code === 'forbidden' && request.actor !== undefined) {
      // Told before it is answered: who is refused and looks finds it there.
      void this.refusals.note(request.actor, failure.detail).then(() => this.#send(failure, request, reply));
    } else {
      this.#send(failure, request, reply);
    }
  }

  /** How the surface of the request words a failure. */
  present(failure: Failure, request: FailedRequest): PresentedError {
    return this.presenters.present(failure, request);
  }

  #send(failure: Failure, request: FastifyRequest, reply: FastifyReply): void {
    if (reply.raw.headersSent) {
      // Part of a reply is out: break it off rather than end a half one well-formed.
      reply.raw.destroy();
      return;
    }
    const path = pathOf(request);
    const presented = this.presenters.present(failure, {
      path,
      route: request.routeOptions.url ?? path,
      requestId: request.id,
    });
    if (failure.retryAfterSeconds !== undefined) {
      void reply.header('retry-after', String(failure.retryAfterSeconds));
    }
    if (failure.status === 401) {
      void reply.header('www-authenticate', 'Bearer realm="taskyard", ApiKey realm="taskyard"');
    }
    void reply
      .header('cache-control', 'no-store')
      .status(failure.status)
      .type(presented.contentType)
      .send(presented.body);
  }

  #record(error: unknown, status: number, request: FastifyRequest): void {
    const facts = {
      request_id: request.id,
      method: request.method,
      path: pathOf(request),
      status,
      internal: error instanceof DomainError ? error.internal : undefined,
    };
    if (status >= 500 && status !== 503) {
      this.log.error('request failed', { ...facts, error });
    } else if (status === 503) {
      this.log.warn('request refused for now', facts);
    } else {
      this.log.debug('request refused', facts);
    }
  }
}
