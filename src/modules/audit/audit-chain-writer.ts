/**
 * Seals what was recorded: a second after an event is committed it has its number and its link, and the end of the chain is signed.
 *
 * Chaining in the transaction that records would let one change of an organisation wait for another; so rows are inserted plain, and
 * one sealer per organisation (an advisory lock) extends the chain afterwards, in the order of transactions and only past those that
 * are over. Any replica may; a crash between two rounds costs nothing, since what has no seal says so itself.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../access/index.js';
import { AppConfig } from '../../config/app-config.js';
import { Database } from '../../database/database.js';
import { NO_LINK, entryDigest, linkOf, signMark } from '../../infrastructure/audit-trail/audit-entry.js';
import { type HeadKey, KeyRing, type SecretKey } from '../../infrastructure/keyring/keyring.js';
import { Clock } from '../../kernel/clock.js';
import { Log } from '../../kernel/log.js';
import { ChainRepository, type Seal } from './chain.repository.js';

const INTERVAL_MS = 1_000;
const BATCH = 500;
const MAX_ORGANIZATIONS = 100;
const TRUNCATE_INTERVAL_MS = 3_600_000;
const CUT_BATCH = 2_000;
const REPORT_INTERVAL_MS = 60_000;

interface Head {
  seq: string;
  link: Buffer;
  signature: Buffer;
}

@Injectable()
export class AuditChainWriter implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #key: SecretKey;
  readonly #headKey: HeadKey;
  readonly #told = new Map<string, number>();
  readonly #untold = new Map<string, Head>();
  #timers: NodeJS.Timeout[] = [];
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(
    private readonly database: Database,
    private readonly chain: ChainRepository,
    private readonly config: AppConfig,
    private readonly clock: Clock,
    private readonly log: Log,
    private readonly ring: KeyRing,
  ) {
    const [key] = ring.audit;
    const [headKey] = ring.auditHeads;
    if (key === undefined || headKey === undefined) {
      throw new Error('the key ring has no audit keys');
    }
    this.#key = key;
    this.#headKey = headKey;
  }

  onApplicationBootstrap(): void {
    this.#timers = [
      setInterval(() => this.#next(() => this.sweep()), INTERVAL_MS).unref(),
      setInterval(() => this.#next(() => this.cutOld()), TRUNCATE_INTERVAL_MS).unref(),
    ];
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopped = true;
    this.#timers.forEach((timer) => clearInterval(timer));
    await this.#running;
    this.#tellDue(0);
  }

  /** Seals what there is to seal; how many events. */
  async sweep(): Promise<number> {
    let sealed = 0;
    for (const organizationId of await this.chain.unsealedOrganizations(MAX_ORGANIZATIONS)) {
      let batch = BATCH;
      while (batch === BATCH && !this.#stopped) {
        batch = await this.seal(organizationId);
        sealed += batch;
      }
    }
    this.#tellDue(REPORT_INTERVAL_MS);
    return sealed;
  }

  /** One batch of one organisation; how many events. Nothing where another replica is at it. */
  async seal(organizationId: string): Promise<number> {
    const scope = unsafelySystemScope(organizationId, 'the audit chain is extended by no request');
    const head = await this.database.transaction(async (tx) => {
      if (!(await this.chain.lock(scope, tx))) {
        return null;
      }
      const end = await this.chain.end(scope, tx);
      const entries = await this.chain.unsealed(scope, tx, BATCH);
      let seq = BigInt(end?.seq ?? 0);
      let previous = end?.link ?? NO_LINK;
      const seals = entries.map((entry): Seal => {
        seq += 1n;
        const { id: eventId, createdAt, transactionId } = entry;
        const digest = entryDigest(this.#keyOf(entry.keyId), entry);
        const linked = { organizationId, seq: String(seq), eventId, createdAt, transactionId, digest, previous };
        previous = linkOf(this.#key.secret, linked);
        return { seq: String(seq), eventId, keyId: this.#key.id, link: previous };
      });
      if (seals.length === 0) {
        return null;
      }
      const mark = { organizationId, seq: String(seq), link: previous, signedAt: this.#now() };
      const signature = signMark(this.#headKey.privateKey, 'head', mark);
      await this.chain.seal(scope, tx, seals, { ...mark, keyId: this.#headKey.kid, signature });
      return { seq: mark.seq, link: previous, signature, count: seals.length };
    });
    if (head === null) {
      return 0;
    }
    this.#untold.set(organizationId, head);
    return head.count;
  }

  /** Deletes what is older than the operator keeps it, from the beginning of each chain; how many links. */
  async cutOld(): Promise<number> {
    const days = this.config.auditRetentionDays;
    if (days === null) {
      return 0;
    }
    let cut = 0;
    for (const { id } of await this.chain.organizations(null)) {
      let more = true;
      while (more && !this.#stopped) {
        more = await this.#cut(id, days);
        cut += more ? 1 : 0;
      }
    }
    return cut;
  }

  async #cut(organizationId: string, days: number): Promise<boolean> {
    const scope = unsafelySystemScope(organizationId, 'audit events past their age are deleted');
    return this.database.transaction(async (tx) => {
      const last = (await this.chain.lock(scope, tx)) ? await this.chain.oldest(scope, tx, days, CUT_BATCH) : null;
      if (last === null) {
        return false;
      }
      const mark = { organizationId, ...last, signedAt: this.#now() };
      const signature = signMark(this.#headKey.privateKey, 'checkpoint', mark);
      await this.chain.cut(scope, tx, { ...mark, keyId: this.#headKey.kid, signature });
      return true;
    });
  }

  /** The row's own key, where this instance has it; a strange id gets the present one, and then its digest does not fit. */
  #keyOf(id: string): Buffer {
    return (this.ring.audit.find((key) => key.id === id) ?? this.#key).secret;
  }

  /** At most once in so long a time, but the last too: so that the log, which is somewhere else, knows the end of every chain. */
  #tellDue(eachMs: number): void {
    const now = this.clock.nowMs();
    for (const [organizationId, { seq, link, signature }] of this.#untold) {
      if (now - (this.#told.get(organizationId) ?? 0) >= eachMs) {
        this.#told.set(organizationId, now);
        this.#untold.delete(organizationId);
        const facts = { organization_id: organizationId, seq, link: link.toString('hex') };
        this.log.info('audit head', { ...facts, signature: signature.toString('base64url') });
      }
    }
  }

  #now(): string {
    return new Date(this.clock.nowMs()).toISOString();
  }

  #next(work: () => Promise<unknown>): void {
    this.#running = this.#running.then(async () => {
      if (!this.#stopped) {
        await work().catch((error: unknown) => this.log.debug('a round over the audit chains failed', { error }));
      }
    });
  }
}
