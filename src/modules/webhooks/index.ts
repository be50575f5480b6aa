export { type CallbackFacts, CallbackPresenter } from './callback-presenter.js';
export { WebhookEndpointEntity } from './webhook-endpoint.entity.js';
export { WebhooksModule } from './webhooks.module.js';
