export { type CallbackFacts, CallbackPresenter } from './dispatch/callback-presenter.js';
export { WebhookEndpointEntity } from './endpoints/webhook-endpoint.entity.js';
export { WebhooksModule } from './webhooks.module.js';
