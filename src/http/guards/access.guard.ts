import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type AccessDeclaration, type Actor, accessDeclaration, may } from '../../access/index.js';
import { DomainError } from '../../kernel/errors.js';
import { Authenticator } from './authenticator.js';
import { withOrigin } from '../request/request-origin.js';
import '../request/request.js';
import { SharedAddress } from '../connections/shared-address.js';

/**
 * The first wall: closed by default. A route that declares nothing never gets here, since it stops the start
 * (`route-inventory.ts`); were it to, it is refused. Mostly it has been asked before, when the body was still to be read (`authenticate-before-body.ts`).
 */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly sharedAddress: SharedAddress,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const declaration = accessDeclaration(context.getHandler());
    if (declaration === null) {
      throw new DomainError('internal', 'This route is closed.', { internal: 'route without @Requires or @Public' });
    }
    if (declaration.kind === 'public') {
      return true;
    }
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    await this.admit(request, declaration);
    return true;
  }

  /**
   * Finds out who sends the request, and whether their role allows the action at all.
   * @throws DomainError `unauthenticated`, `forbidden`
   */
  async admit(request: FastifyRequest, declaration: AccessDeclaration & { kind: 'requires' }): Promise<void> {
    const known = request.actor ?? (await this.#recognize(request, declaration));
    // A cached role may be too small as well as too great: only a fresh one refuses.
    const actor = may(known, declaration.action) ? known : await this.#authenticate(request, declaration, true);
    // Part of the origin is what the body names, so it is made again once the body is known.
    request.actor = withOrigin(actor, request);
    if (!may(actor, declaration.action)) {
      throw new DomainError('forbidden', 'Your role does not allow this.', {
        internal: `${actor.role} lacks ${declaration.action}`,
      });
    }
  }

  async #recognize(request: FastifyRequest, declaration: AccessDeclaration): Promise<Actor> {
    const actor = await this.#authenticate(request, declaration, false);
    this.sharedAddress.note(request);
    return actor;
  }

  #authenticate(request: FastifyRequest, declaration: AccessDeclaration, fresh: boolean): Promise<Actor> {
    return this.authenticator.authenticate(request, declaration, { fresh });
  }
}
