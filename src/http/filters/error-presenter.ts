import { Injectable } from '@nestjs/common';
import type { Failure } from './failure.js';

export interface PresentedError {
  contentType: string;
  body: unknown;
}

export interface FailedRequest {
  /** As sent, without query. */
  path: string;
  /** The template of the route that was found (`/api/v1/task/:id`), however the path was spelled; else the path. */
  route: string;
  requestId: string;
}

/** How one surface words an error; owns every error under its paths, those raised before any handler included. */
export interface ErrorPresenter {
  /** True where the route, or the path where no route was found, belongs to the surface. */
  owns(path: string): boolean;
  present(failure: Failure, request: FailedRequest): PresentedError;
}

/** The surfaces' presenters; what none owns is `application/problem+json` (RFC 9457). */
@Injectable()
export class ErrorPresenters {
  readonly #presenters: ErrorPresenter[] = [];

  register(presenter: ErrorPresenter): void {
    this.#presenters.push(presenter);
  }

  present(failure: Failure, request: FailedRequest): PresentedError {
    const owner = this.#presenters.find((presenter) => presenter.owns(request.route));
    return owner === undefined ? problem(failure, request) : owner.present(failure, request);
  }
}

function problem(failure: Failure, request: FailedRequest): PresentedError {
  return {
    contentType: 'application/problem+json; charset=utf-8',
    body: {
      type: `urn:taskyard:problem:${failure.code}`,
      title: failure.title,
      status: failure.status,
      detail: failure.detail,
      instance: request.path.slice(0, 2048),
      code: failure.code,
      request_id: request.requestId,
      errors: failure.issues,
    },
  };
}
