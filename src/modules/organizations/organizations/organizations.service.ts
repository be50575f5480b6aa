import { Injectable } from '@nestjs/common';
import { type Actor, readScope, unsafelySystemScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { PasswordHasher } from '../../../infrastructure/passwords/index.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { mergePatch } from '../../../http/pipes/merge-patch.js';
import { invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { OrganizationProvisioner } from './organization-provisioner.js';
import { OrganizationsRepository } from './organizations.repository.js';
import {
  SETTINGS_BYTES,
  type NewOrganizationInput,
  type OrganizationPatch,
  type OrganizationView,
} from './organizations.schema.js';
import { PrincipalsRepository } from '../principals/principals.repository.js';
import { UsersRepository } from '../users/users.repository.js';

export interface NewOrganization {
  name: string;
  slug: string;
  /** True for the first organisation of an instance, and for no other. */
  operatesInstance: boolean;
  owner: { email: string; displayName: string; passwordHash: string | null } | null;
}

export interface CreatedOrganization {
  organizationId: string;
  /** Acts for the server itself, such as in running builtin agents. */
  systemPrincipalId: string;
  ownerId: string | null;
}

@Injectable()
export class OrganizationsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: OrganizationsRepository,
    private readonly users: UsersRepository,
    private readonly principals: PrincipalsRepository,
    private readonly setup: OrganizationProvisioner,
    private readonly passwords: PasswordHasher,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'organizations');
  }

  /** The actor's own organisation. */
  async own(actor: Actor): Promise<OrganizationView> {
    return required(await this.repository.own(readScope(actor, 'organization:read')));
  }

  /** @throws DomainError `invalid-request` for an agent that is not there, or settings that outgrow their size */
  async update(actor: Actor, patch: OrganizationPatch): Promise<OrganizationView> {
    const scope = writeScope(actor, 'organization:update');
    return this.database.write(scope, async (tx) => {
      const settings = await this.repository.lockSettings(scope, tx);
      if (
        typeof patch.default_agent_id === 'string' &&
        !(await this.repository.hasAgent(scope, tx, patch.default_agent_id))
      ) {
        throw invalid('/default_agent_id', 'There is no such agent.');
      }
      await this.repository.update(scope, tx, {
        name: patch.name,
        defaultAgentId: patch.default_agent_id,
        settings: patch.settings === undefined ? undefined : mergedSettings(settings, patch.settings),
      });
      return required(await this.repository.own(scope, tx));
    });
  }

  /** Every organisation of the instance; for its operator. */
  async list(actor: Actor, query: ListQuery): Promise<Page<OrganizationView>> {
    const scope = writeScope(actor, 'instance:operate');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.unsafelyListAll(scope, page, query));
  }

  /** One organisation of the instance; for its operator. */
  async get(actor: Actor, id: string): Promise<OrganizationView> {
    return required(await this.repository.unsafelyFindAny(writeScope(actor, 'instance:operate'), id));
  }

  /**
   * Another tenant, with its owner; for the instance's operator.
   * @throws DomainError `already-exists` for a slug in use, `invalid-request` for a common password
   */
  async create(
    actor: Actor,
    input: NewOrganizationInput,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<OrganizationView>> {
    const scope = writeScope(actor, 'instance:operate');
    const { email, password, display_name } = input.owner;
    const words = [email, display_name ?? '', input.name, input.slug];
    const passwordHash = await this.passwords.hash({ password, path: '/owner/password', words });
    return this.idempotency.run(scope, ticket, async (tx) => {
      const { organizationId } = await this.found(tx, {
        name: input.name,
        slug: input.slug,
        operatesInstance: false,
        owner: { email, displayName: display_name ?? email.slice(0, 200), passwordHash },
      });
      return required(await this.repository.unsafelyFindAny(scope, organizationId, tx));
    });
  }

  /**
   * Makes an organisation with all it needs: the principal that acts for the server, its default agent, and where given its owner
   * with an account.
   */
  async found(tx: Tx, input: NewOrganization): Promise<CreatedOrganization> {
    const organizationId = newId();
    const scope = unsafelySystemScope(organizationId, 'a new organisation has nobody yet who could act');
    const { name, slug, operatesInstance, owner } = input;
    await this.repository.insert(scope, tx, { name, slug, operatesInstance });
    const systemPrincipalId = newId();
    await this.principals.insert(scope, tx, { id: systemPrincipalId, kind: 'system', role: 'worker' });
    const { defaultAgentId } = await this.setup.prepare(tx, scope);
    await this.repository.update(scope, tx, { defaultAgentId });
    const ownerId = owner === null ? null : newId();
    if (owner !== null && ownerId !== null) {
      await this.users.insert(scope, tx, { id: ownerId, role: 'owner', ...owner });
    }
    return { organizationId, systemPrincipalId, ownerId };
  }
}

function mergedSettings(current: unknown, patch: Record<string, unknown> | null): Record<string, unknown> {
  const merged = patch === null ? {} : mergePatch(current, patch);
  if (Buffer.byteLength(JSON.stringify(merged)) > SETTINGS_BYTES) {
    throw invalid('/settings', 'must be at most 64 KiB as JSON, with what is there already');
  }
  const floor = merged['schedule_floor_seconds'];
  if (floor !== undefined && !(typeof floor === 'number' && Number.isInteger(floor) && floor >= 1 && floor <= 86_400)) {
    throw invalid('/settings/schedule_floor_seconds', 'must be a whole number of seconds from 1 to 86400');
  }
  return merged;
}

function required(found: OrganizationView | null): OrganizationView {
  if (found === null) {
    throw notFound('organization');
  }
  return found;
}
