import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { AccountsRepository } from './accounts.repository.js';
import type { AccountListQuery, AccountPatch, AccountView, NewAccountInput } from './accounts.schema.js';

/** For whom work is done: a label, never a permission. Whoever made an account, whose it is, and admins manage it. */
@Injectable()
export class AccountsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: AccountsRepository,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'accounts');
  }

  async list(actor: Actor, query: AccountListQuery): Promise<Page<AccountView>> {
    const scope = readScope(actor, 'account:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  async get(actor: Actor, id: string): Promise<AccountView> {
    return required(await this.repository.find(readScope(actor, 'account:read'), id));
  }

  /** @throws DomainError `invalid-request` for a user who is not there, `already-exists` for one who has an account */
  async create(actor: Actor, input: NewAccountInput, ticket: IdempotencyTicket | null): Promise<Outcome<AccountView>> {
    const scope = writeScope(actor, 'account:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      await this.#assertUser(scope, tx, input.user_id);
      const id = newId();
      const { name, kind, email = null, user_id: userId = null } = input;
      await this.repository.insert(scope, tx, { id, name, kind, email, userId });
      return required(await this.repository.find(scope, id, tx));
    });
  }

  async update(actor: Actor, id: string, patch: AccountPatch): Promise<AccountView> {
    const scope = writeScope(actor, 'account:manage');
    return this.database.write(scope, async (tx) => {
      await this.#assertManaged(scope, tx, id);
      await this.#assertUser(scope, tx, patch.user_id);
      await this.repository.update(scope, tx, id, patch);
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /** @throws DomainError `still-referenced` where tasks are for it */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'account:manage');
    await this.database.write(scope, async (tx) => {
      await this.#assertManaged(scope, tx, id);
      await this.repository.remove(scope, tx, id);
    });
  }

  async #assertManaged(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    if (!required(await this.repository.lock(scope, tx, id)).managed) {
      throw forbidden();
    }
  }

  /** An account tied to somebody is what their tasks are for, so only they themselves or an admin may tie it. */
  async #assertUser(scope: WriteScope, tx: Tx, userId: string | null | undefined): Promise<void> {
    if (userId === null || userId === undefined) {
      return;
    }
    if (!(await this.repository.hasUser(scope, tx, userId))) {
      throw invalid('/user_id', 'There is no such user.');
    }
    if (scope.reach !== 'all' && userId !== scope.actor.creatorId) {
      throw forbidden('Only an admin may give an account to somebody else.');
    }
  }
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('account');
  }
  return found;
}
