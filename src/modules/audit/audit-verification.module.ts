import { Injectable, Module } from '@nestjs/common';
import { ChainRepository } from './chain.repository.js';
import { type ChainReport, ChainVerifier, type KnownHead } from './chain-verifier.js';

/** A chain and what was found, for the command line. */
export interface VerifiedOrganization extends ChainReport {
  slug: string;
}

@Injectable()
export class AuditVerification {
  constructor(
    private readonly chain: ChainRepository,
    private readonly verifier: ChainVerifier,
  ) {}

  /** Verifies every organisation's chain, or one's. */
  async verify(
    slug: string | null,
    known: (KnownHead & { organizationId: string }) | null,
  ): Promise<VerifiedOrganization[]> {
    const reports: VerifiedOrganization[] = [];
    for (const organization of await this.chain.organizations(slug)) {
      const head = known?.organizationId === organization.id ? known : null;
      reports.push({ slug: organization.slug, ...(await this.verifier.verify(organization.id, head)) });
    }
    return reports;
  }
}

/** For the command line only: no routes, no sealer. */
@Module({ providers: [ChainRepository, ChainVerifier, AuditVerification], exports: [AuditVerification] })
export class AuditVerificationModule {}
