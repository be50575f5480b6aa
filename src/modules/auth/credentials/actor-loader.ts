import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { isId } from '../../../kernel/ids.js';
import { toActor } from './actor-facts.js';
import { ActorsQuery } from './actors.query.js';

/** An actor, and how long it may be remembered at most: until what it was made from runs out. */
export interface LoadedActor {
  actor: Actor;
  /** Milliseconds; null where nothing runs out. */
  remainingMs: number | null;
}

/** Who a principal is right now, for work that goes on in its name without a credential in hand (links, streams, schedules). */
@Injectable()
export class ActorLoader {
  constructor(private readonly actors: ActorsQuery) {}

  /** The actor, fresh from the database in one round trip; null where the principal is absent, disabled or expired. */
  async load(organizationId: string, principalId: string): Promise<Actor | null> {
    const facts = await this.actors.findPrincipal(organizationId, principalId);
    return facts === null ? null : toActor(facts, null);
  }

  /**
   * The same where the principal still has that credential, a session of the user or a secret of the key, by its `Actor.credentialId`; null
   * once that has ended.
   */
  async loadBy(organizationId: string, principalId: string, credentialId: string): Promise<LoadedActor | null> {
    const found = isId(credentialId)
      ? await this.actors.findBySession(organizationId, principalId, credentialId)
      : await this.actors.findBySecret(organizationId, principalId, credentialId);
    const actor = found?.facts == null ? null : toActor(found.facts, credentialId);
    return found === null || actor === null ? null : { actor, remainingMs: found.remainingMs };
  }
}
