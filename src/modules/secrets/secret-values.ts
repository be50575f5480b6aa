/**
 * The one place where values are opened: for the worker that holds the lease of a run, and to take them out of what that run says.
 *
 * Given: only what the task names and the agent may still have, only while the lease is held, and each with a row in the audit trail
 * in the same transaction. Redacted: whatever the run was given, kept in this process's memory for a while, so that appending costs
 * no look-up; a process that did not hand them out looks once. The fence says whether a run was given any (`runs/leases.ts`), so runs
 * without secrets pay nothing at all.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { AuditTrail } from '../../engines/audit-trail/audit-trail.js';
import { Envelope, EnvelopeError } from '../../engines/envelope/envelope.js';
import { Clock } from '../../kernel/clock.js';
import { Log } from '../../kernel/log.js';
import { Redactor } from './redaction.js';
import { secretContext } from './secret-context.js';
import { type GrantedVersion, SecretsRepository } from './secrets.repository.js';

const REMEMBER_MS = 300_000;
const MOST_REMEMBERED = 2_000;

@Injectable()
export class SecretValues {
  readonly #redactors = new Map<string, { redactor: Redactor; untilMs: number }>();

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
      const granted = await this.repository.granted(scope, tx, runIds, true);
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

  /** Takes what the run was given out of texts and JSON. Call it for runs whose fence says that they were given secrets. */
  async redactorOf(scope: WriteScope, runId: string): Promise<Redactor> {
    const key = `${scope.organizationId} ${scope.actor.principalId} ${runId}`;
    const now = this.clock.nowMs();
    const known = this.#redactors.get(key);
    if (known !== undefined && known.untilMs > now) {
      return known.redactor;
    }
    const granted = await this.repository.granted(scope, this.database, [runId], false);
    const values = granted.flatMap((version): [string, string][] => {
      const value = this.#open(scope, version);
      return value === null ? [] : [[version.name, value]];
    });
    return this.#remember(key, new Redactor(values), now);
  }

  #remember(key: string, redactor: Redactor, now: number): Redactor {
    this.#redactors.delete(key);
    for (const [oldest, { untilMs }] of this.#redactors) {
      if (this.#redactors.size < MOST_REMEMBERED && untilMs > now) {
        break;
      }
      this.#redactors.delete(oldest);
    }
    this.#redactors.set(key, { redactor, untilMs: now + REMEMBER_MS });
    return redactor;
  }

  /** Null for one that does not open: the run goes without it, and the operator is told. */
  #open(scope: WriteScope, { secretId, version, sealed }: GrantedVersion): string | null {
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
