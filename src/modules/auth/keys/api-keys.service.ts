import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, minRole, canManageRole, readScope, writeScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import type { Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError, forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { KeyDigests } from '../credentials/key-digests.js';
import { type NewKey, makeKey } from '../credentials/key-form.js';
import { ApiKeysRepository, type ApiKeyStatus, type SecretValues } from './api-keys.repository.js';
import type { ApiKey, ApiKeyListQuery, ApiKeyWithSecret, NewApiKeyInput, Rotation } from './api-keys.schema.js';

const SHOWN_ONCE = 'Keep the key now: it cannot be shown again.';
const SHOWN_BEFORE = 'The key was shown in the first reply only; rotate it where that reply was lost.';

/** Making, listing, rotating and revoking keys. Nobody makes, rotates or revokes a key above their own role. */
@Injectable()
export class ApiKeysService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly digests: KeyDigests,
    private readonly idempotency: Idempotency,
    private readonly clock: Clock,
    private readonly config: AppConfig,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'api-keys');
  }

  async list(actor: Actor, query: ApiKeyListQuery): Promise<Page<ApiKey>> {
    const scope = readScope(actor, 'api_key:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.keys.list(scope, query, page));
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<ApiKey> {
    const key = await this.keys.find(readScope(actor, 'api_key:read'), id);
    if (key === null) {
      throw notFound('API key');
    }
    return key;
  }

  /** Makes a key; its secret is in this reply and nowhere else, a replay's included. */
  async create(
    actor: Actor,
    input: NewApiKeyInput,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<ApiKeyWithSecret>> {
    const scope = writeScope(actor, 'api_key:manage');
    if (!canManageRole(actor.role, input.role)) {
      throw forbidden('You cannot make a key with a role above your own.');
    }
    if (input.expires_at !== undefined && Date.parse(input.expires_at) <= this.clock.nowMs()) {
      throw invalid('/expires_at', 'must be in the future');
    }
    const secret = makeKey(input.role === 'worker' ? 'worker' : 'key');
    const outcome = await this.idempotency.run(scope, ticket, async (tx) => {
      await this.#assertReferences(scope, tx, input);
      const id = newId();
      await this.keys.insert(scope, tx, {
        id,
        name: input.name,
        role: input.role,
        userId: input.user_id ?? null,
        teamIds: input.team_ids ?? [],
        teamRole: input.team_role ?? null,
        agentIds: input.agent_ids ?? [],
        expiresAt: input.expires_at === undefined ? null : new Date(input.expires_at),
        isBootstrap: false,
        createdBy: actor.creatorId,
        createdWith: actor.principalId === actor.creatorId ? null : actor.principalId,
      });
      await this.keys.insertSecret(scope, tx, id, this.secretValues(secret));
      return this.#present(scope, tx, id);
    });
    return withSecret(outcome, secret);
  }

  /** Gives the key a new secret; the old ones run out after the overlap, and are told apart by their ids, never by trying. */
  async rotate(
    actor: Actor,
    id: string,
    input: Rotation,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<ApiKeyWithSecret>> {
    const scope = writeScope(actor, 'api_key:manage');
    let secret: NewKey = makeKey('key');
    const outcome = await this.idempotency.run(scope, ticket, async (tx) => {
      const standing = await this.#lockManaged(scope, tx, id);
      if (standing.is_bootstrap && this.config.bootstrapApiKey !== null) {
        throw new DomainError('conflict', 'This key is set by BOOTSTRAP_API_KEY; change it there.');
      }
      secret = makeKey(standing.role === 'worker' ? 'worker' : 'key');
      await this.keys.endSecrets(scope, tx, id, input.overlap_seconds);
      await this.keys.insertSecret(scope, tx, id, this.secretValues(secret));
      const key = await this.#present(scope, tx, id);
      // Last: a key that rotates itself makes its own actor out of date.
      await this.keys.raiseEpoch(scope, tx, id);
      return key;
    });
    return withSecret(outcome, secret);
  }

  /** Revokes the key at once, everywhere. @throws DomainError `not-found`, `forbidden` */
  async revoke(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'api_key:manage');
    await this.idempotency.run(scope, null, async (tx) => {
      await this.#lockManaged(scope, tx, id);
      await this.keys.disable(scope, tx, id);
    });
  }

  /** What is stored of a secret. */
  secretValues(secret: NewKey): SecretValues {
    return { ...this.digests.of(secret.text), publicId: secret.publicId, lastFour: secret.text.slice(-4) };
  }

  async #lockManaged(scope: WriteScope, tx: Tx, id: string): Promise<ApiKeyStatus> {
    const standing = await this.keys.lock(scope, tx, id);
    if (standing === null) {
      throw notFound('API key');
    }
    const { actor } = scope;
    // The bootstrap key is an admin's by role and operates the instance all the same: an admin who rotated it would become it.
    // A key that is bound to a user acts as that user: who rotates it becomes them.
    const isAbove = standing.user_role !== null && !canManageRole(actor.role, standing.user_role);
    if (!canManageRole(actor.role, standing.role) || isAbove || (standing.is_bootstrap && !actor.operatesInstance)) {
      throw forbidden('You cannot change a key that has more rights than you.');
    }
    return standing;
  }

  async #assertReferences(scope: WriteScope, tx: Tx, input: NewApiKeyInput): Promise<void> {
    if (input.user_id !== undefined) {
      const userRole = await this.keys.findUserRole(scope, tx, input.user_id);
      if (userRole === null) {
        throw invalid('/user_id', 'There is no such user.');
      }
      if (!canManageRole(scope.actor.role, userRole)) {
        throw forbidden('You cannot make a key for a user with a role above your own.');
      }
      if (minRole(input.role, userRole) === null) {
        throw invalid('/role', 'A key for this user cannot be a worker: only admins and owners include it.');
      }
    }
    const { team_ids: teamIds = [], agent_ids: agentIds = [] } = input;
    if ((await this.keys.countTeams(scope, tx, teamIds)) !== teamIds.length) {
      throw invalid('/team_ids', 'One of these teams does not exist.');
    }
    if (agentIds.length > 0 && input.role !== 'worker') {
      throw invalid('/agent_ids', 'Only a key of role worker is held to agents.');
    }
    if ((await this.keys.countAgents(scope, tx, agentIds)) !== agentIds.length) {
      throw invalid('/agent_ids', 'One of these agents does not exist.');
    }
  }

  async #present(scope: WriteScope, tx: Tx, id: string): Promise<ApiKey> {
    const key = await this.keys.find(scope, id, tx);
    if (key === null) {
      throw new Error('a key vanished in its own transaction');
    }
    return key;
  }
}

function withSecret({ value, replayed }: Outcome<ApiKey>, secret: NewKey): Outcome<ApiKeyWithSecret> {
  return {
    value: { ...value, key: replayed ? null : secret.text, note: replayed ? SHOWN_BEFORE : SHOWN_ONCE },
    replayed,
  };
}
