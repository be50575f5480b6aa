import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../access/index.js';
import type { Tx } from '../../database/database.js';
import { newId } from '../../kernel/ids.js';
import { OrganizationProvisioner } from '../organizations/index.js';
import { AgentsRepository } from './agents.repository.js';
import { QUEUE_DEFAULTS, RETRY_DEFAULTS } from './queue/queue-settings.js';
import { AGENT_DEFAULTS } from './agents.schema.js';

/** Gives a new organisation its first agent, so that its first task runs without anything being set up. */
@Injectable()
export class DefaultAgentProvisioner extends OrganizationProvisioner {
  constructor(private readonly repository: AgentsRepository) {
    super();
  }

  override async prepare(tx: Tx, scope: WriteScope): Promise<{ defaultAgentId: string }> {
    const id = newId();
    await this.repository.insert(scope, tx, {
      id,
      slug: 'digest',
      name: 'Digest',
      kind: 'builtin',
      version: AGENT_DEFAULTS.version,
      description:
        'Reads a text or Markdown and says what matters in it: key sentences, keywords, outline, counts, and a chart.',
      config: { builtin: 'digest' },
      maxAttempts: AGENT_DEFAULTS.max_attempts,
      timeoutSeconds: AGENT_DEFAULTS.timeout_seconds,
      leaseSeconds: AGENT_DEFAULTS.lease_seconds,
      retry: RETRY_DEFAULTS,
      concurrencyLimit: QUEUE_DEFAULTS.concurrency_limit,
      concurrencyKeyLimit: QUEUE_DEFAULTS.concurrency_key_limit,
      concurrencyStrategy: QUEUE_DEFAULTS.concurrency_strategy,
      defaultRunConfig: {},
      allowedSecretNames: [],
    });
    return { defaultAgentId: id };
  }
}
