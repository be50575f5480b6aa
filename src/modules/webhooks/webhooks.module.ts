import { Module } from '@nestjs/common';
import { CallbackSecretController } from './secrets/callback-secret.controller.js';
import { DeliveriesController } from './deliveries/deliveries.controller.js';
import { DeliveriesRepository } from './deliveries/deliveries.repository.js';
import { DeliveriesService } from './deliveries/deliveries.service.js';
import { DeliveryAttempt } from './dispatch/delivery-attempt.js';
import { DeliveryDispatcher } from './dispatch/delivery-dispatcher.js';
import { DeliverySweeper } from './dispatch/delivery-sweeper.js';
import { DispatchRepository } from './dispatch/dispatch.repository.js';
import { WebhookSecretsService } from './secrets/webhook-secrets.service.js';
import { WebhookSecretStore } from './secrets/webhook-secret-store.repository.js';
import { WebhookSecretsRepository } from './secrets/webhook-secrets.repository.js';
import { WebhooksController } from './endpoints/webhooks.controller.js';
import { WebhooksRepository } from './endpoints/webhooks.repository.js';
import { WebhooksService } from './endpoints/webhooks.service.js';

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
