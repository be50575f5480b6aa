import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { Log } from '../../../kernel/log.js';
import { ApiKeysRepository } from '../keys/api-keys.repository.js';

/** `last_used_at` is a hint for people who clean up: a minute's grain is enough and spares a write per request. */
const FLUSH_INTERVAL_MS = 60_000;

/** Remembers which keys were used and writes it down now and then, never while a request waits. */
@Injectable()
export class LastUsedTracker implements OnModuleInit, BeforeApplicationShutdown {
  readonly #used = new Map<string, Set<string>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly log: Log,
  ) {}

  onModuleInit(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_INTERVAL_MS).unref();
  }

  note(organizationId: string, keyId: string): void {
    const used = this.#used.get(organizationId) ?? new Set();
    used.add(keyId);
    this.#used.set(organizationId, used);
  }

  /** Writes what was noted since the last time. Never rejects: what cannot be written is not worth a failure. */
  async flush(): Promise<void> {
    const noted = [...this.#used];
    this.#used.clear();
    for (const [organizationId, keyIds] of noted) {
      try {
        await this.keys.touch(unsafelySystemScope(organizationId, 'when keys were last used'), [...keyIds]);
      } catch (error) {
        this.log.debug('the last use of keys was not recorded', { error });
      }
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#timer !== null) {
      clearInterval(this.#timer);
    }
    await this.flush();
  }
}
