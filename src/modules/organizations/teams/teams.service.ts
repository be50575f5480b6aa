import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { forbidden, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { DependentKeys } from '../principals/dependent-keys.js';
import { raiseEpochs } from '../principals/principals.repository.js';
import { TeamsRepository } from './teams.repository.js';
import type {
  MemberRoleInput,
  NewTeamInput,
  TeamDeletion,
  TeamMemberView,
  TeamPatch,
  TeamView,
} from './teams.schema.js';

/** Teams and who is in them. Admins change all of it; a maintainer changes the team they maintain, but does not delete it. */
@Injectable()
export class TeamsService {
  readonly #pages: CursorPaginator;
  readonly #memberPages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: TeamsRepository,
    private readonly keys: DependentKeys,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'teams');
    this.#memberPages = new CursorPaginator(sealer, 'team members');
  }

  async list(actor: Actor, query: ListQuery): Promise<Page<TeamView>> {
    const scope = readScope(actor, 'team:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  async get(actor: Actor, id: string): Promise<TeamView> {
    return required(await this.repository.find(readScope(actor, 'team:read'), id));
  }

  /** @throws DomainError `already-exists` for a slug in use */
  async create(actor: Actor, input: NewTeamInput, ticket: IdempotencyTicket | null): Promise<Outcome<TeamView>> {
    const scope = writeScope(actor, 'team:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const id = newId();
      await this.repository.insert(scope, tx, { id, ...input });
      return required(await this.repository.find(scope, id, tx));
    });
  }

  async update(actor: Actor, id: string, patch: TeamPatch): Promise<TeamView> {
    const scope = writeScope(actor, 'team:manage');
    return this.database.write(scope, async (tx) => {
      await this.#assertMaintained(scope, tx, id);
      await this.repository.update(scope, tx, id, patch);
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /**
   * For admins. Keys that are limited to this team and others stay limited to the others.
   * @throws DomainError `still-referenced` where it still has tasks, projects, or keys that are not to be revoked
   */
  async remove(actor: Actor, id: string, { keys }: TeamDeletion): Promise<void> {
    const scope = writeScope(actor, 'team:manage');
    await this.database.write(scope, async (tx) => {
      await this.#assertMaintained(scope, tx, id);
      if (scope.reach !== 'all') {
        throw forbidden('Only an admin may delete a team.');
      }
      await this.repository.lockForRemoval(scope, tx, id);
      const limited = await this.keys.releaseTeam(scope, tx, id, keys === 'revoke');
      const members = await this.repository.remove(scope, tx, id);
      await raiseEpochs(tx, scope, [...members, ...limited]);
    });
  }

  async listMembers(actor: Actor, teamId: string, query: ListQuery): Promise<Page<TeamMemberView>> {
    const scope = readScope(actor, 'team:read');
    const page = this.#memberPages.open(scope, query, '-created_at', teamId);
    const rows = required(await this.repository.listMembers(scope, teamId, page, query));
    return this.#memberPages.close(scope, query, page, rows, teamId);
  }

  /** Makes a person a member, or changes their role; their rights change with the commit, everywhere. */
  async putMember(actor: Actor, teamId: string, userId: string, { role }: MemberRoleInput): Promise<TeamMemberView> {
    const scope = writeScope(actor, 'team:manage');
    return this.database.write(scope, async (tx) => {
      await this.#assertMaintained(scope, tx, teamId);
      const changed = await this.repository.putMember(scope, tx, teamId, userId, role);
      const member = await this.repository.findMember(scope, teamId, userId, tx);
      if (member === null) {
        throw notFound('user');
      }
      if (changed) {
        await raiseEpochs(tx, scope, [userId]);
      }
      return member;
    });
  }

  async removeMember(actor: Actor, teamId: string, userId: string): Promise<void> {
    const scope = writeScope(actor, 'team:manage');
    await this.database.write(scope, async (tx) => {
      await this.#assertMaintained(scope, tx, teamId);
      if (!(await this.repository.removeMember(scope, tx, teamId, userId))) {
        throw notFound('member');
      }
      await raiseEpochs(tx, scope, [userId]);
    });
  }

  async #assertMaintained(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    if (!required(await this.repository.lock(scope, tx, id)).maintained) {
      throw forbidden('Only an admin or a maintainer of this team may change it.');
    }
  }
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('team');
  }
  return found;
}
