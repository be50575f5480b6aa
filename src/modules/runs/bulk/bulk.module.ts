import { Module } from '@nestjs/common';
import { RunsModule } from '../runs.module.js';
import { RunBatchRepository } from './run-batch.repository.js';
import { RunBatches } from './run-batches.service.js';

/** Runs in numbers: queued in batches, canceled and replayed by filter. */
@Module({
  imports: [RunsModule],
  providers: [RunBatchRepository, RunBatches],
  exports: [RunBatches],
})
export class BulkModule {}
