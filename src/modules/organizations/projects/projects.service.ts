import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { ProjectsRepository } from './projects.repository.js';
import type {
  NewProjectInput,
  ProjectListQuery,
  ProjectPatch,
  ProjectShareView,
  ProjectView,
  ShareAccessInput,
} from './projects.schema.js';

/** Projects and whom they are shared with. Their creator, admins and the maintainers of their team manage them. */
@Injectable()
export class ProjectsService {
  readonly #pages: CursorPaginator;
  readonly #sharePages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: ProjectsRepository,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'projects');
    this.#sharePages = new CursorPaginator(sealer, 'project shares');
  }

  async list(actor: Actor, query: ProjectListQuery): Promise<Page<ProjectView>> {
    const scope = readScope(actor, 'project:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  async get(actor: Actor, id: string): Promise<ProjectView> {
    return required(await this.repository.find(readScope(actor, 'project:read'), id));
  }

  /** @throws DomainError `invalid-request` for a team that is not there, `forbidden` for one the actor does not act in */
  async create(actor: Actor, input: NewProjectInput, ticket: IdempotencyTicket | null): Promise<Outcome<ProjectView>> {
    const scope = writeScope(actor, 'project:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      await this.#assertTeam(scope, tx, input.team_id);
      const id = newId();
      await this.repository.insert(scope, tx, { id, name: input.name, teamId: input.team_id ?? null });
      return required(await this.repository.find(scope, id, tx));
    });
  }

  async update(actor: Actor, id: string, patch: ProjectPatch): Promise<ProjectView> {
    const scope = writeScope(actor, 'project:manage');
    return this.database.write(scope, async (tx) => {
      await this.#assertManaged(scope, tx, id);
      await this.#assertTeam(scope, tx, patch.team_id);
      await this.repository.update(scope, tx, id, patch);
      return required(await this.repository.find(scope, id, tx));
    });
  }

  /** @throws DomainError `still-referenced` where it still has tasks */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'project:manage');
    await this.database.write(scope, async (tx) => {
      await this.#assertManaged(scope, tx, id);
      await this.repository.remove(scope, tx, id);
    });
  }

  async listShares(actor: Actor, id: string, query: ListQuery): Promise<Page<ProjectShareView>> {
    const scope = readScope(actor, 'project:read');
    const page = this.#sharePages.open(scope, query, '-created_at', id);
    const rows = required(await this.repository.listShares(scope, id, page, query));
    return this.#sharePages.close(scope, query, page, rows, id);
  }

  /** Shares the project's present and future tasks that are not private with a team, or changes how. */
  async putShare(
    actor: Actor,
    projectId: string,
    teamId: string,
    { access }: ShareAccessInput,
  ): Promise<ProjectShareView> {
    const scope = writeScope(actor, 'project:manage');
    return this.database.write(scope, async (tx) => {
      await this.#assertManaged(scope, tx, projectId);
      if ((await this.repository.team(scope, tx, teamId)) === null) {
        throw notFound('team');
      }
      await this.repository.putShare(scope, tx, { projectId, teamId, access });
      return required(await this.repository.findShare(scope, projectId, teamId, tx));
    });
  }

  async removeShare(actor: Actor, projectId: string, teamId: string): Promise<void> {
    const scope = writeScope(actor, 'project:manage');
    await this.database.write(scope, async (tx) => {
      await this.#assertManaged(scope, tx, projectId);
      if (!(await this.repository.removeShare(scope, tx, projectId, teamId))) {
        throw notFound('share');
      }
    });
  }

  async #assertManaged(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    if (!required(await this.repository.lock(scope, tx, id)).managed) {
      throw forbidden();
    }
  }

  async #assertTeam(scope: WriteScope, tx: Tx, teamId: string | null | undefined): Promise<void> {
    if (teamId === null || teamId === undefined) {
      return;
    }
    const team = await this.repository.team(scope, tx, teamId);
    if (team === null) {
      throw invalid('/team_id', 'There is no such team.');
    }
    if (!team.active) {
      throw forbidden('Only members of a team may put a project into it.');
    }
  }
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('project');
  }
  return found;
}
