import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { accessDeclaration, may } from '../access/index.js';
import { DomainError } from '../kernel/errors.js';
import { Authenticator } from './authenticator.js';
import { withOrigin } from './request-origin.js';
import './request.js';

/**
 * The first wall: closed by default. A route that declares nothing never gets here, since it stops the start
 * (`route-inventory.ts`); were it to, it is refused.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(private readonly authenticator: Authenticator) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const declaration = accessDeclaration(context.getHandler());
    if (declaration === null) {
      throw new DomainError('internal', 'This route is closed.', { internal: 'route without @Requires or @Public' });
    }
    if (declaration.kind === 'public') {
      return true;
    }
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    request.actor = withOrigin(await this.authenticator.authenticate(request, declaration, { fresh: false }), request);
    if (!may(request.actor, declaration.action)) {
      // A cached role may be too small as well as too great: only a fresh one refuses.
      request.actor = withOrigin(await this.authenticator.authenticate(request, declaration, { fresh: true }), request);
    }
    if (!may(request.actor, declaration.action)) {
      throw new DomainError('forbidden', 'Your role does not allow this.', {
        internal: `${request.actor.role} lacks ${declaration.action}`,
      });
    }
    return true;
  }
}
