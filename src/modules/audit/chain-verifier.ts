/**
 * Walks a chain from its beginning to its signed end and names the first thing that is wrong, and where.
 *
 * | kind | what it means |
 * |---|---|
 * | `altered` | the event at this place does not say what it said, or another stands there |
 * | `forged` | an event that the product did not write: its own digest does not fit |
 * | `missing` | the event or its seal at this place is gone |
 * | `cut-short` | the signed end is further than what is there |
 * | `head-mismatch` | the chain is not the one whose end was signed, or the signature is not ours |
 * | `checkpoint-forged` | the beginning was cut off by somebody else |
 * | `unsealed` | an event that nobody will seal: somebody has been at the queue |
 *
 * Whoever has the database and not the keys can do none of this unseen. Who can also put back an older state of everything, signed ends
 * included, is found out only by an end that was kept elsewhere (the log has one a minute; `GET /audit-events/head`): pass it as `known`.
 */
import { Injectable } from '@nestjs/common';
import { type ReadScope, unsafelySystemScope } from '../../access/index.js';
import { NO_LINK, entryDigest, linkOf, verifyMark } from '../../infrastructure/audit-trail/audit-entry.js';
import { KeyRing } from '../../infrastructure/keyring/keyring.js';
import { ChainRepository, type Seal, type StoredEntry, type StoredMark } from './chain.repository.js';

export type BreakKind =
  'altered' | 'forged' | 'missing' | 'cut-short' | 'head-mismatch' | 'checkpoint-forged' | 'unsealed';

export interface ChainBreak {
  kind: BreakKind;
  /** The place in the chain; null for what has none. */
  seq: string | null;
  eventId: string | null;
}

export interface ChainReport {
  organizationId: string;
  /** Links that were walked and hold. */
  verified: number;
  /** Events of the last moments, not sealed yet; their own digests hold. */
  waiting: number;
  first: string;
  last: string;
  problem: ChainBreak | null;
}

/** An end of the chain that was kept elsewhere. */
export interface KnownHead {
  seq: string;
  link: string;
}

const BATCH = 1_000;
const MAX_WAITING = 10_000;

@Injectable()
export class ChainVerifier {
  constructor(
    private readonly chain: ChainRepository,
    private readonly ring: KeyRing,
  ) {}

  async verify(organizationId: string, known: KnownHead | null = null): Promise<ChainReport> {
    const scope = unsafelySystemScope(organizationId, 'the command line verifies every chain');
    // The heads are read first: what is sealed meanwhile makes the chain longer than they say, never shorter.
    const heads = await this.chain.heads(scope);
    const checkpoint = await this.chain.newestCheckpoint(scope);
    const report = { organizationId, verified: 0, waiting: 0, first: String(BigInt(checkpoint?.seq ?? 0) + 1n) };
    const last = checkpoint?.seq ?? '0';
    if (checkpoint !== null && !this.#isOurs('checkpoint', checkpoint)) {
      return { ...report, last, problem: { kind: 'checkpoint-forged', seq: checkpoint.seq, eventId: null } };
    }
    const marks = new Map(heads.map((head) => [head.seq, head]));
    const forged = heads.find((head) => !this.#isOurs('head', head));
    if (forged !== undefined) {
      return { ...report, last, problem: { kind: 'head-mismatch', seq: forged.seq, eventId: null } };
    }
    const walked = await this.#walk(scope, checkpoint, marks, known);
    const end = { ...report, verified: walked.verified, last: walked.last };
    if (walked.problem !== null) {
      return { ...end, problem: walked.problem };
    }
    const furthest = [...heads.map(({ seq }) => seq), ...(known === null ? [] : [known.seq])].find(
      (seq) => BigInt(seq) > BigInt(walked.last),
    );
    if (furthest !== undefined || (heads.length === 0 && walked.verified > 0)) {
      const seq = String(BigInt(walked.last) + 1n);
      return { ...end, problem: { kind: heads.length === 0 ? 'head-mismatch' : 'cut-short', seq, eventId: null } };
    }
    return { ...end, ...(await this.#tail(scope)) };
  }

  async #walk(
    scope: ReadScope,
    checkpoint: StoredMark | null,
    heads: ReadonlyMap<string, StoredMark>,
    known: KnownHead | null,
  ): Promise<{ verified: number; last: string; problem: ChainBreak | null }> {
    let seq = BigInt(checkpoint?.seq ?? 0);
    let previous = checkpoint?.link ?? NO_LINK;
    let verified = 0;
    for (;;) {
      const seals = await this.chain.sealsAfter(scope, String(seq), BATCH);
      for (const seal of seals) {
        const expected = String(seq + 1n);
        const kind = this.#wrong(scope.organizationId, seal, expected, previous);
        if (kind !== null) {
          const eventId = seal.seq === expected ? seal.eventId : null;
          return { verified, last: String(seq), problem: { kind, seq: expected, eventId } };
        }
        const signed = heads.get(expected)?.link.toString('hex') ?? seal.link.toString('hex');
        const kept = known?.seq === expected ? known.link : signed;
        if (signed !== seal.link.toString('hex') || kept !== seal.link.toString('hex')) {
          return {
            verified,
            last: String(seq),
            problem: { kind: 'head-mismatch', seq: expected, eventId: seal.eventId },
          };
        }
        seq += 1n;
        verified += 1;
        previous = seal.link;
      }
      if (seals.length < BATCH) {
        return { verified, last: String(seq), problem: null };
      }
    }
  }

  #wrong(
    organizationId: string,
    { seq, eventId, keyId, link, entry }: Seal & { entry: StoredEntry | null },
    expected: string,
    previous: Buffer,
  ): BreakKind | null {
    if (seq !== expected || entry === null) {
      return 'missing';
    }
    const key = this.ring.audit.find(({ id }) => id === keyId)?.secret;
    const entryKey = this.ring.audit.find(({ id }) => id === entry.keyId)?.secret;
    if (key === undefined || entryKey === undefined) {
      return 'altered';
    }
    const digest = entryDigest(entryKey, entry);
    const { createdAt, transactionId } = entry;
    if (!linkOf(key, { organizationId, seq, eventId, createdAt, transactionId, digest, previous }).equals(link)) {
      return 'altered';
    }
    // Sealed as it stood, and still never written by the product.
    return digest.equals(entry.digest) ? null : 'forged';
  }

  async #tail(scope: ReadScope): Promise<{ waiting: number; problem: ChainBreak | null }> {
    const tail = await this.chain.withoutSeal(scope, MAX_WAITING);
    const forged = tail.find((entry) => {
      const key = this.ring.audit.find(({ id }) => id === entry.keyId)?.secret;
      return key === undefined || !entryDigest(key, entry).equals(entry.digest);
    });
    const lost = tail.find(({ isWaiting }) => !isWaiting);
    const wrong = forged ?? lost;
    return {
      waiting: tail.length,
      problem:
        wrong === undefined
          ? null
          : { kind: forged === undefined ? 'unsealed' : 'forged', seq: null, eventId: wrong.id },
    };
  }

  #isOurs(kind: 'head' | 'checkpoint', mark: StoredMark): boolean {
    const key = this.ring.auditHeads.find(({ kid }) => kid === mark.keyId);
    return key !== undefined && verifyMark(key.publicKey, kind, mark, mark.signature);
  }
}
