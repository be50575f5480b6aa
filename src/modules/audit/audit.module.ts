import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditQuery } from './audit.query.js';
import { AuditService } from './audit.service.js';
import { ChainRepository } from './chain.repository.js';
import { AuditChainWriter } from './audit-chain-writer.js';
import { ChainVerifier } from './chain-verifier.js';

@Module({
  controllers: [AuditController],
  providers: [AuditQuery, AuditService, ChainRepository, AuditChainWriter, ChainVerifier],
})
export class AuditModule {}
