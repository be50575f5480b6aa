import type { FastifyRequest } from 'fastify';
import type { AccessDeclaration, Actor } from '../../access/index.js';

/** Who are you: turns a request's credential into an actor. `modules/auth` provides it; the edge only asks. */
export abstract class Authenticator {
  /**
   * The actor behind the request's one credential. `fresh` reads the database, whatever a cache says.
   * @throws DomainError `unauthenticated` for none, several or a bad one: the same answer for all
   */
  abstract authenticate(
    request: FastifyRequest,
    declaration: AccessDeclaration,
    options: { fresh: boolean },
  ): Promise<Actor>;
}
