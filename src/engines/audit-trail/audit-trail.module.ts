import { Global, Module } from '@nestjs/common';
import { AuditTrail } from './audit-trail.js';
import { Refusals } from './refusals.js';
import { AuditTrailRepository } from './audit-trail.repository.js';

@Global()
@Module({ providers: [AuditTrailRepository, AuditTrail, Refusals], exports: [AuditTrail, Refusals] })
export class AuditTrailModule {}
