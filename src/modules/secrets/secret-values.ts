/**
 * The one place where values are opened: for the worker that holds the lease of a run, and to take them out of what that run says.
 *
 * Given: only what the task names and the agent may have when the run is claimed, only while the lease is held, and each recorded in the
 * same transaction: with the run (`run_secrets`), and in the audit trail. Redacted: every value that a run of the task was ever given, as
 * those records say, whatever became of the task, the agent or the secret since. Values are kept in this process's memory for a while, so
 * that appending costs no look-up. The fence says whether there may be any (`runs/leases.ts`), so runs without secrets pay nothing at all.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { AuditTrail } from '../../infrastructure/audit-trail/audit-trail.js';
import { Envelope, EnvelopeError } from '../../infrastructure/envelope/envelope.js';
import { Clock } from '../../kernel/clock.js';
import { Log } from '../../kernel/log.js';
import { Redactor } from './redaction.js';
import { secretContext } from './secret-context.js';
import { type SealedVersion, SecretsRepository } from './secrets.repository.js';

/** How long until what other runs of the task were given meanwhile is redacted as well. What the lease itself was given always is. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 2_000;
/** Of all remembered redactors together: what they look for. */
const MAX_REMEMBERED_CHARACTERS = 64 * 1024 * 1024;

/** The lease that something is said under. */
export interface SayingLease {
  runId: string;
  /** Differs between the leases of a run. */
  fence: string;
}

@Injectable()
export class SecretValues {
  readonly #redactors = new Map<string, { redactor: Redactor; untilMs: number }>();
  #characters = 0;

  constructor(
    private readonly repository: SecretsRepository,
    private readonly envelope: Envelope,
    private readonly database: Database,
    private readonly trail: AuditTrail,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /** The secrets of runs that this worker has just leased, by run and name. Each is told in the audit trail before it is given. */
  async give(scope: WriteScope, runIds: readonly string[]): Promise<Map<string, Record<string, string>>> {
    return this.database.transaction(async (tx) => {
      const granted = await this.repository.give(scope, tx, runIds);
      const given = granted.flatMap((version) => {
        const value = this.#open(scope, version);
        return value === null ? [] : [{ version, value }];
      });
      await this.trail.record(
        tx,
        scope,
        given.map(({ version: { name, version, runId } }) => ({
          action: 'secret.read',
          objectKind: 'secret',
          objectId: name,
          detail: { run_id: runId, version },
        })),
      );
      const byRun = new Map<string, Record<string, string>>(runIds.map((id) => [id, {}]));
      for (const { version, value } of given) {
        byRun.set(version.runId, { ...byRun.get(version.runId), [version.name]: value });
      }
      return byRun;
    });
  }

  /** Takes what was given out of texts and JSON. Call it for leases whose fence says that there may be secrets. */
  async redactorOf(scope: WriteScope, { runId, fence }: SayingLease): Promise<Redactor> {
    const key = `${scope.organizationId} ${scope.actor.principalId} ${runId} ${fence}`;
    const now = this.clock.nowMs();
    const known = this.#redactors.get(key);
    if (known !== undefined && known.untilMs > now) {
      return known.redactor;
    }
    const given = await this.repository.given(scope, runId);
    const values = given.flatMap((version): [string, string][] => {
      const value = this.#open(scope, version);
      return value === null ? [] : [[version.name, value]];
    });
    return this.#remember(key, new Redactor(values), now);
  }

  #remember(key: string, redactor: Redactor, now: number): Redactor {
    this.#forget(key);
    this.#characters += redactor.characters;
    this.#redactors.set(key, { redactor, untilMs: now + REMEMBER_MS });
    for (const [oldest, { untilMs }] of this.#redactors) {
      const isRoom = this.#redactors.size <= MAX_REMEMBERED && this.#characters <= MAX_REMEMBERED_CHARACTERS;
      if (isRoom && untilMs > now) {
        break;
      }
      this.#forget(oldest);
    }
    return redactor;
  }

  #forget(key: string): void {
    this.#characters -= this.#redactors.get(key)?.redactor.characters ?? 0;
    this.#redactors.delete(key);
  }

  /** Null for one that does not open: the run goes without it, and the operator is told. */
  #open(scope: WriteScope, { secretId, version, sealed }: SealedVersion): string | null {
    try {
      return this.envelope.open(secretContext(scope.organizationId, secretId, version), sealed).toString('utf8');
    } catch (error) {
      if (!(error instanceof EnvelopeError)) {
        throw error;
      }
      this.log.error('a sealed secret does not open', { reason: error.message, organization_id: scope.organizationId });
      return null;
    }
  }
}
