import { createHmac } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { Envelope } from '../../infrastructure/envelope/envelope.js';
import { KeyRing } from '../../infrastructure/keyring/keyring.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator, type ListQuery } from '../../http/pagination/cursor-paginator.js';
import { invalid, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import type { Page } from '../../kernel/page.js';
import { secretContext } from './secret-context.js';
import { SecretsRepository } from './secrets.repository.js';
import { secretNameSchema, type SecretPut, type SecretView } from './secrets.schema.js';

/** Secrets as admins keep them: written, replaced, deleted, and never shown. */
@Injectable()
export class SecretsService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: SecretsRepository,
    private readonly envelope: Envelope,
    private readonly database: Database,
    private readonly ring: KeyRing,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'secrets');
  }

  /** Names and versions; no value leaves. */
  async list(actor: Actor, query: ListQuery): Promise<Page<SecretView>> {
    const scope = readScope(actor, 'secret:read');
    const page = this.#pages.open(scope, query);
    return this.#pages.close(scope, query, page, await this.repository.list(scope, page, query));
  }

  /** Makes the secret or gives it another value. @throws DomainError `invalid-request` for what is no name, `limit-reached` */
  async put(actor: Actor, name: string, input: SecretPut): Promise<SecretView> {
    const scope = writeScope(actor, 'secret:manage');
    const named = secretNameSchema.safeParse(name);
    if (!named.success) {
      throw invalid('/name', named.error.issues[0]?.message ?? 'is not the name of a secret');
    }
    const fingerprint = this.#fingerprint(scope.organizationId, input.value);
    return this.database.write(scope, async (tx) => {
      const secret = await this.repository.reserve(scope, tx, { id: newId(), name, fingerprint });
      const context = secretContext(scope.organizationId, secret.id, secret.version);
      await this.repository.addVersion(scope, tx, { ...secret, name }, this.envelope.seal(context, input.value));
      return required(await this.repository.find(scope, tx, secret.id));
    });
  }

  /** @throws DomainError `not-found` */
  async remove(actor: Actor, name: string): Promise<void> {
    const scope = writeScope(actor, 'secret:manage');
    await this.database.write(scope, async (tx) => {
      if (!(await this.repository.remove(scope, tx, name))) {
        throw notFound('secret');
      }
    });
  }

  /**
   * Refuses names that a task of this agent must not name: those its admins do not let it have, and those that are no secrets.
   * @throws DomainError `invalid-request` with the place of the name
   */
  async assertMayName(
    tx: Tx,
    scope: WriteScope,
    names: readonly string[],
    allowed: readonly string[],
    pointer = '/secret_names',
  ): Promise<void> {
    if (names.length === 0) {
      return;
    }
    const barred = names.findIndex((name) => !allowed.includes(name));
    if (barred !== -1) {
      throw invalid(`${pointer}/${barred}`, 'The agent of this task may not be given this secret.');
    }
    const known = await this.repository.known(scope, tx, names);
    const absent = names.findIndex((name) => !known.includes(name));
    if (absent !== -1) {
      throw invalid(`${pointer}/${absent}`, 'There is no such secret.');
    }
  }

  /** Of one organisation's own: the same value elsewhere has another. */
  #fingerprint(organizationId: string, value: string): string {
    const pepper = this.ring.peppers[0]?.secret ?? Buffer.alloc(0);
    const digest = createHmac('sha256', pepper)
      .update(`secret fingerprint\0${organizationId}\0`)
      .update(value)
      .digest();
    return digest.toString('base64url').slice(-4);
  }
}

function required<Found>(found: Found | null): Found {
  if (found === null) {
    throw notFound('secret');
  }
  return found;
}
