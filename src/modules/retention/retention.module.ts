import { Module } from '@nestjs/common';
import { AssetsModule } from '../assets/index.js';
import { BudgetsModule } from '../budgets/index.js';
import { RetentionController } from './retention.controller.js';
import { RetentionDueQuery } from './retention-due.query.js';
import { RetentionRepository } from './retention.repository.js';
import { RetentionService } from './retention.service.js';
import { RetentionSweepRepository } from './retention-sweep.repository.js';
import { RetentionSweeper } from './retention-sweeper.js';

@Module({
  imports: [AssetsModule, BudgetsModule],
  controllers: [RetentionController],
  providers: [RetentionRepository, RetentionDueQuery, RetentionSweepRepository, RetentionService, RetentionSweeper],
})
export class RetentionModule {}
