import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Observable, catchError, from, switchMap, throwError } from 'rxjs';
import { accessDeclaration, may } from '../../access/index.js';
import { StaleActorError } from '../../database/database.js';
import { DomainError } from '../../kernel/errors.js';
import { Authenticator } from '../guards/authenticator.js';
import { withOrigin } from '../request/request-origin.js';

/**
 * Runs a request once more, with a freshly loaded actor, when a statement found the cached one out of date. Nothing had
 * happened by then: the statement that found out read nothing and wrote nothing, or its transaction was rolled back.
 */
@Injectable()
export class FreshActorInterceptor implements NestInterceptor {
  constructor(private readonly authenticator: Authenticator) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      catchError((error: unknown) => {
        const declaration = accessDeclaration(context.getHandler());
        if (!(error instanceof StaleActorError) || declaration?.kind !== 'requires') {
          return throwError(() => error);
        }
        const request = context.switchToHttp().getRequest<FastifyRequest>();
        return from(this.authenticator.authenticate(request, declaration, { fresh: true })).pipe(
          switchMap((actor) => {
            if (!may(actor, declaration.action)) {
              return throwError(() => new DomainError('forbidden', 'Your role does not allow this.'));
            }
            request.actor = withOrigin(actor, request);
            return next.handle();
          }),
        );
      }),
    );
  }
}
