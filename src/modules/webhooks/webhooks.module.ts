import { Module } from '@nestjs/common';
import { CallbackSecretController } from './callback-secret.controller.js';
import { DeliveriesController } from './deliveries.controller.js';
import { DeliveriesRepository } from './deliveries.repository.js';
import { DeliveriesService } from './deliveries.service.js';
import { DeliveryAttempt } from './delivery-attempt.js';
import { DeliveryDispatcher } from './delivery-dispatcher.js';
import { DeliverySweeper } from './delivery-sweeper.js';
import { DispatchRepository } from './dispatch.repository.js';
import { WebhookSecretsService } from './hook-secrets.js';
import { WebhookSecretStore } from './hook-secret-store.repository.js';
import { WebhookSecretsRepository } from './hook-secrets.repository.js';
import { WebhooksController } from './webhooks.controller.js';
import { WebhooksRepository } from './webhooks.repository.js';
import { WebhooksService } from './webhooks.service.js';

@Module({
  controllers: [WebhooksController, CallbackSecretController, DeliveriesController],
  providers: [
    WebhooksRepository,
    WebhooksService,
    DeliveriesRepository,
    DeliveriesService,
    WebhookSecretsRepository,
    WebhookSecretsService,
    WebhookSecretStore,
    DispatchRepository,
    DeliveryAttempt,
    DeliveryDispatcher,
    DeliverySweeper,
  ],
})
export class WebhooksModule {}
