import { Injectable } from '@nestjs/common';
import { type Actor, type ReadScope, readScope } from '../../access/index.js';
import { NO_LINK, signMark } from '../../infrastructure/audit-trail/audit-entry.js';
import { KeyRing } from '../../infrastructure/keyring/keyring.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../http/pagination/cursor-paginator.js';
import { Clock } from '../../kernel/clock.js';
import { DomainError } from '../../kernel/errors.js';
import { Log } from '../../kernel/log.js';
import type { Page } from '../../kernel/page.js';
import { CSV_HEADER, csvLine, ndjsonLine } from './audit-text.js';
import { AuditQuery, type StoredHead } from './audit.query.js';
import type { AuditEventView, AuditExportQuery, AuditHeadView, AuditListQuery } from './audit.schema.js';

const EXPORT_BATCH = 500;

/** Reading the audit trail. */
@Injectable()
export class AuditService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly query: AuditQuery,
    private readonly ring: KeyRing,
    private readonly clock: Clock,
    private readonly log: Log,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'audit-events');
  }

  async list(actor: Actor, query: AuditListQuery): Promise<Page<AuditEventView>> {
    const scope = readScope(actor, 'audit:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.query.list(scope, page, query));
  }

  /** All that fits, oldest first, as text; the first batch is read before anything is sent, so that a refusal is a reply. */
  async export(actor: Actor, { format, ...filter }: AuditExportQuery): Promise<AsyncGenerator<string>> {
    const scope = readScope(actor, 'audit:read');
    const line = format === 'csv' ? csvLine : ndjsonLine;
    const lines = this.#lines(scope, filter, line);
    const first = await lines.next();
    const head = format === 'csv' ? CSV_HEADER : '';
    return prefixed(`${head}${first.done === true ? '' : first.value}`, lines);
  }

  /** The signed end of the chain, to be kept elsewhere: number 0 while nothing is sealed. */
  async head(actor: Actor): Promise<AuditHeadView> {
    const scope = readScope(actor, 'audit:read');
    const { organizationId } = scope;
    const head = (await this.query.head(scope)) ?? this.#beginning(organizationId);
    const key = this.ring.auditHeads.find(({ kid }) => kid === head.keyId);
    if (key === undefined) {
      throw new DomainError('internal', 'Something went wrong on our side.', { internal: 'a head of an unknown key' });
    }
    return {
      organization_id: organizationId,
      seq: Number(head.seq),
      link: head.link.toString('hex'),
      signed_at: head.signedAt.toISOString(),
      key_id: head.keyId,
      signature: head.signature.toString('base64url'),
      public_key: { ...key.publicKey.export({ format: 'jwk' }) },
    };
  }

  #beginning(organizationId: string): StoredHead {
    const [key] = this.ring.auditHeads;
    if (key === undefined) {
      throw new Error('the key ring has no key for audit heads');
    }
    const signedAt = new Date(this.clock.nowMs());
    const mark = { organizationId, seq: '0', link: NO_LINK, signedAt: signedAt.toISOString() };
    return { seq: '0', link: NO_LINK, signedAt, keyId: key.kid, signature: signMark(key.privateKey, 'head', mark) };
  }

  async *#lines(
    scope: ReadScope,
    filter: Omit<AuditExportQuery, 'format'>,
    line: (event: AuditEventView) => string,
  ): AsyncGenerator<string> {
    let after: { at: string; id: string } | null = null;
    try {
      for (;;) {
        const rows = await this.query.list(scope, { sort: 'created_at', after, limit: EXPORT_BATCH }, filter);
        const shown = rows.slice(0, EXPORT_BATCH);
        const last = shown.at(-1);
        if (last === undefined) {
          return;
        }
        yield shown.map(({ item }) => line(item)).join('');
        if (rows.length <= EXPORT_BATCH) {
          return;
        }
        after = { at: last.at, id: last.id };
      }
    } catch (error) {
      this.log.warn('an export of the audit trail was broken off', { error });
      throw error;
    }
  }
}

async function* prefixed(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}
