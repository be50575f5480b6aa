import { Module } from '@nestjs/common';
import { RunsModule } from '../runs.module.js';
import { BulkOperationsController } from './bulk-operations.controller.js';
import { BulkOperationsRepository } from './bulk-operations.repository.js';
import { BulkOperationsService } from './bulk-operations.service.js';
import { BulkWorker } from './bulk-worker.js';
import { RunBatchRepository } from './run-batch.repository.js';
import { RunBatchService } from './run-batch.service.js';

/** Runs in numbers: queued in batches, canceled and replayed by filter. */
@Module({
  imports: [RunsModule],
  controllers: [BulkOperationsController],
  providers: [BulkOperationsRepository, BulkOperationsService, BulkWorker, RunBatchRepository, RunBatchService],
  exports: [BulkWorker, RunBatchService],
})
export class BulkModule {}
