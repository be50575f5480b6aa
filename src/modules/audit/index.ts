export { AuditModule } from './audit.module.js';
export { AuditVerification, AuditVerificationModule, type VerifiedOrganization } from './audit-verification.module.js';
export { AuditChainWriter } from './audit-chain-writer.js';
export { ChainVerifier, type ChainBreak, type ChainReport, type KnownHead } from './chain-verifier.js';
