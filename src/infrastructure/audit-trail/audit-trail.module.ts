import { Global, Module } from '@nestjs/common';
import { AuditTrail } from './audit-trail.js';
import { AccessDeniedRecorder } from './access-denied-recorder.js';
import { AuditTrailRepository } from './audit-trail.repository.js';

@Global()
@Module({
  providers: [AuditTrailRepository, AuditTrail, AccessDeniedRecorder],
  exports: [AuditTrail, AccessDeniedRecorder],
})
export class AuditTrailModule {}
