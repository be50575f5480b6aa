import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';

/** What a new organisation starts with that this module must not know of; `app.module` binds it. */
export abstract class OrganizationProvisioner {
  /** Makes it in the transaction that makes the organisation, and names the agent that runs tasks which name none. */
  abstract prepare(tx: Tx, scope: WriteScope): Promise<{ defaultAgentId: string }>;
}
