export { SecretsModule } from './secrets.module.js';
export { SecretsService } from './secrets.service.js';
export { SecretValues } from './secret-values.js';
export { NOTHING_TO_REDACT, Redactor } from './redaction.js';
export { secretNameSchema } from './secrets.schema.js';
export { SecretEntity } from './secret.entity.js';
