import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { assertNever } from '../kernel/assert-never.js';
import type { AuditVerification, ChainBreak, KnownHead, VerifiedOrganization } from '../modules/audit/index.js';
import { UsageError } from './admin-command.js';

const headSchema = z.object({
  organization_id: z.uuid(),
  seq: z.int().min(0),
  link: z.string().regex(/^[0-9a-f]{64}$/),
});

export interface AuditVerdict {
  isSound: boolean;
  text: string;
}

/** Verifies every chain, or one organisation's, and says what was found, a line each. @throws UsageError for a file that is no head */
export async function verifyAudit(
  verification: AuditVerification,
  organizationSlug: string | null,
  headFile: string | null,
): Promise<AuditVerdict> {
  const reports = await verification.verify(organizationSlug, headFile === null ? null : readHead(headFile));
  if (reports.length === 0) {
    throw new UsageError(
      organizationSlug === null
        ? 'There is no organisation yet.'
        : `There is no organisation with the slug ${organizationSlug}.`,
    );
  }
  return { isSound: reports.every(({ problem }) => problem === null), text: reports.map(lineOf).join('\n') };
}

function readHead(path: string): KnownHead & { organizationId: string } {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new UsageError(`The file ${path} cannot be read as JSON.`);
  }
  const head = headSchema.safeParse(content);
  if (!head.success) {
    throw new UsageError(`The file ${path} is no head of an audit trail: keep the reply of /api/v1/audit-events/head.`);
  }
  return { organizationId: head.data.organization_id, seq: String(head.data.seq), link: head.data.link };
}

function lineOf({ slug, verified, waiting, first, last, problem }: VerifiedOrganization): string {
  const tail = waiting > 0 ? `, and ${waiting} not sealed yet` : '';
  if (problem === null) {
    return verified === 0
      ? `${slug}: holds; no event is sealed yet${tail}`
      : `${slug}: holds, ${verified} events (${first} to ${last})${tail}`;
  }
  const event = problem.eventId === null ? '' : ` (event ${problem.eventId})`;
  return `${slug}: BROKEN at ${problem.seq ?? 'the end'}: ${sentenceOf(problem)}${event}; what is before it holds`;
}

function sentenceOf({ kind }: ChainBreak): string {
  switch (kind) {
    case 'altered':
      return 'the event does not say what it said, or another stands in its place';
    case 'forged':
      return 'the event was not written by the product';
    case 'missing':
      return 'the event or its seal is gone';
    case 'cut-short':
      return 'the trail ends here, and its signed end is further';
    case 'head-mismatch':
      return 'this is not the trail whose end was signed';
    case 'checkpoint-forged':
      return 'the beginning was cut off by somebody else';
    case 'unsealed':
      return 'an event was taken out of what is to be sealed';
    default:
      return assertNever(kind);
  }
}
