import { Module } from '@nestjs/common';
import { BudgetsController } from './budgets.controller.js';
import { BudgetsRepository } from './budgets.repository.js';
import { BudgetsService } from './budgets.service.js';
import { UsageController } from './usage.controller.js';
import { UsageQuery } from './usage.query.js';
import { UsageService } from './usage.service.js';

@Module({
  controllers: [BudgetsController, UsageController],
  providers: [BudgetsRepository, BudgetsService, UsageQuery, UsageService],
  exports: [BudgetsService],
})
export class BudgetsModule {}
