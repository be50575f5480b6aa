/**
 * Claims that wait for work in this process. Each looks again once a second and whenever its organization gets work, so a key that has
 * thousands of them waiting would keep the database and the memory from everybody else. A claim that finds work is never refused; one that would
 * have to wait beside too many others is, with when to come back.
 */
import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import { DomainError } from '../../../kernel/errors.js';

const RETRY_AFTER_SECONDS = 5;

@Injectable()
export class WaitingClaims {
  /** By principal, and by organization; ids of none are forgotten. */
  readonly #waiting = new Map<string, number>();

  constructor(private readonly config: AppConfig) {}

  /** How many of a principal or an organization wait. */
  countOf(id: string): number {
    return this.#waiting.get(id) ?? 0;
  }

  /** Counts one more; the function counts it no longer, once. @throws DomainError `limit-reached` */
  enter({ organizationId, principalId }: Pick<Actor, 'organizationId' | 'principalId'>): () => void {
    const { perKey, perOrganization } = this.config.maxWaitingClaims;
    this.#assertRoom(principalId, perKey, 'key');
    this.#assertRoom(organizationId, perOrganization, 'organization');
    this.#add(principalId, 1);
    this.#add(organizationId, 1);
    let isOver = false;
    return () => {
      if (!isOver) {
        isOver = true;
        this.#add(principalId, -1);
        this.#add(organizationId, -1);
      }
    };
  }

  #assertRoom(id: string, limit: number, whose: string): void {
    if (this.countOf(id) >= limit) {
      throw new DomainError(
        'limit-reached',
        `There is no work, and ${limit} claims of this ${whose} wait for some already: ask for more runs with each claim (max), wait with fewer, or come back later.`,
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
      );
    }
  }

  #add(id: string, change: 1 | -1): void {
    const count = this.countOf(id) + change;
    if (count === 0) {
      this.#waiting.delete(id);
    } else {
      this.#waiting.set(id, count);
    }
  }
}
