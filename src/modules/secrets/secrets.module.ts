import { Module } from '@nestjs/common';
import { SecretRotationRepository } from './secret-rotation.repository.js';
import { SecretSweeper } from './secret-sweeper.js';
import { SecretValues } from './secret-values.js';
import { SecretsController } from './secrets.controller.js';
import { SecretsRepository } from './secrets.repository.js';
import { SecretsService } from './secrets.service.js';

@Module({
  controllers: [SecretsController],
  providers: [SecretsRepository, SecretsService, SecretValues, SecretRotationRepository, SecretSweeper],
  exports: [SecretsService, SecretValues],
})
export class SecretsModule {}
