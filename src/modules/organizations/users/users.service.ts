import { Injectable } from '@nestjs/common';
import {
  type Actor,
  type UserRole,
  type WriteScope,
  canManageRole,
  readScope,
  writeScope,
} from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { PasswordHasher } from '../../../infrastructure/passwords/index.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { DomainError, forbidden, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { DependentKeys } from '../principals/dependent-keys.js';
import { PrincipalsRepository, raiseEpochs } from '../principals/principals.repository.js';
import { type NewUser, UsersRepository } from './users.repository.js';
import type { NewUserInput, UserDeletion, UserPatch, UserView } from './users.schema.js';

@Injectable()
export class UsersService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: UsersRepository,
    private readonly principals: PrincipalsRepository,
    private readonly keys: DependentKeys,
    private readonly passwords: PasswordHasher,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'users');
  }

  async list(actor: Actor, query: ListQuery): Promise<Page<UserView>> {
    const scope = readScope(actor, 'user:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  async get(actor: Actor, id: string): Promise<UserView> {
    return required(await this.repository.find(readScope(actor, 'user:read'), id));
  }

  /**
   * @throws DomainError `forbidden` for a role above the actor's own, `already-exists` for an e-mail in use, `invalid-request` for a common
   * password
   */
  async create(actor: Actor, input: NewUserInput, ticket: IdempotencyTicket | null): Promise<Outcome<UserView>> {
    const scope = writeScope(actor, 'user:manage');
    assertOutranks(scope, input.role);
    const { email, display_name: displayName, role } = input;
    const words = [email, displayName];
    const passwordHash = await this.passwords.hash({ password: input.password, path: '/password', words });
    return this.idempotency.run(scope, ticket, async (tx) => {
      const id = newId();
      await this.repository.insert(scope, tx, { id, email, displayName, role, passwordHash });
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /** @throws DomainError `conflict` where the organisation would be left without an owner */
  async update(actor: Actor, id: string, patch: UserPatch): Promise<UserView> {
    const scope = writeScope(actor, 'user:manage');
    return this.database.write(scope, async (tx) => {
      const before = await this.#manageable(scope, tx, id);
      const role = patch.role ?? before.role;
      assertOutranks(scope, role);
      if (role !== before.role) {
        await this.#assertOwnerLeft(scope, tx, before);
        await this.principals.setRole(scope, tx, id, role);
      }
      await this.repository.update(scope, tx, before, patch);
      const after = required(await this.repository.find(scope, id, tx));
      if (role !== before.role) {
        await raiseEpochs(tx, scope, [id]);
      }
      // Last: the key of the request may be among them.
      if (patch.created_keys === 'revoke') {
        await this.keys.revokeCreatedBy(scope, tx, id);
      }
      return after;
    });
  }

  /** @throws DomainError `conflict` where the organisation would be left without an owner */
  async remove(actor: Actor, id: string, { created_keys: createdKeys }: UserDeletion): Promise<void> {
    const scope = writeScope(actor, 'user:manage');
    await this.database.write(scope, async (tx) => {
      await this.#assertOwnerLeft(scope, tx, await this.#manageable(scope, tx, id));
      await this.repository.remove(scope, tx, id);
      if (createdKeys === 'revoke') {
        await this.keys.revokeCreatedBy(scope, tx, id);
      }
    });
  }

  /**
   * Adds a person in a transaction of the caller's, who answers for the role: the start of the server, which has nobody to ask.
   * @throws DomainError `already-exists` for an e-mail in use
   */
  async add(scope: WriteScope, tx: Tx, person: Omit<NewUser, 'id'>): Promise<string> {
    const id = newId();
    await this.repository.insert(scope, tx, { id, ...person });
    return id;
  }

  /** Replaces a password by the hash of another. Ends no session: that is the affair of whoever keeps them. */
  async setPasswordHash(tx: Tx, scope: WriteScope, userId: string, passwordHash: string): Promise<void> {
    if (!(await this.repository.setPasswordHash(scope, tx, userId, passwordHash))) {
      throw notFound('user');
    }
  }

  async #manageable(scope: WriteScope, tx: Tx, id: string): Promise<UserView> {
    const user = required(await this.repository.lock(scope, tx, id));
    assertOutranks(scope, user.role);
    return user;
  }

  async #assertOwnerLeft(scope: WriteScope, tx: Tx, before: UserView): Promise<void> {
    if (before.role === 'owner' && (await this.principals.countOtherOwners(scope, tx, before.id)) === 0) {
      throw new DomainError('conflict', 'This is the last owner of the organization; make another person owner first.');
    }
  }
}

function assertOutranks(scope: WriteScope, role: UserRole): void {
  if (!canManageRole(scope.actor.role, role)) {
    throw forbidden('You may not manage people of a role above your own, nor give such a role.');
  }
}

function required(found: UserView | null): UserView {
  if (found === null) {
    throw notFound('user');
  }
  return found;
}
