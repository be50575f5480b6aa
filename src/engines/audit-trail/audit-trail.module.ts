import { Global, Module } from '@nestjs/common';
import { AuditTrail } from './audit-trail.js';
import { AuditTrailRepository } from './audit-trail.repository.js';

@Global()
@Module({ providers: [AuditTrailRepository, AuditTrail], exports: [AuditTrail] })
export class AuditTrailModule {}
