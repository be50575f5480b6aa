import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { toActor } from './actor-facts.js';
import { ActorsQuery } from './actors.query.js';

/** Who a principal is right now, for work that goes on in its name without a credential in hand (links, streams, schedules). */
@Injectable()
export class ActorLoader {
  constructor(private readonly actors: ActorsQuery) {}

  /** The actor, fresh from the database in one round trip; null where the principal is absent, disabled or expired. */
  async load(organizationId: string, principalId: string): Promise<Actor | null> {
    const facts = await this.actors.findPrincipal(organizationId, principalId);
    return facts === null ? null : toActor(facts);
  }

  /** The same for the user of a session; null as well once the session has ended. */
  async loadSession(organizationId: string, userId: string, familyId: string): Promise<Actor | null> {
    const facts = await this.actors.findSession(organizationId, userId, familyId);
    return facts === null ? null : toActor(facts);
  }
}
