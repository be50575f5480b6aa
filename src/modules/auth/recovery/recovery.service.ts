import { Injectable } from '@nestjs/common';
import { type Role, unsafelySystemScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { AuditTrail } from '../../../infrastructure/audit-trail/audit-trail.js';
import { PasswordHasher } from '../../../infrastructure/passwords/index.js';
import { DomainError } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { UsersService, passwordField, raiseEpochs } from '../../organizations/index.js';
import { KeyDigests } from '../credentials/key-digests.js';
import { makeKey } from '../credentials/key-form.js';
import { ApiKeysRepository } from '../keys/api-keys.repository.js';
import { LoginThrottleRepository } from '../sessions/login-throttle.repository.js';
import { SessionsRepository } from '../sessions/sessions.repository.js';
import { RecoveryQuery } from './recovery.query.js';

/** What was asked for cannot be done; the message is the one sentence that says why. */
export class RecoveryRefused extends Error {
  override readonly name = 'RecoveryRefused';
}

/** Lost credentials, given back to whoever can run programs on the server: that is the proof. */
@Injectable()
export class Recovery {
  constructor(
    private readonly database: Database,
    private readonly query: RecoveryQuery,
    private readonly users: UsersService,
    private readonly sessions: SessionsRepository,
    private readonly throttle: LoginThrottleRepository,
    private readonly keys: ApiKeysRepository,
    private readonly digests: KeyDigests,
    private readonly trail: AuditTrail,
    private readonly passwords: PasswordHasher,
  ) {}

  /**
   * Sets a person's password, ends their sessions and lets them sign in at once. The organization is needed only where several have the
   * e-mail. @throws RecoveryRefused
   */
  async resetPassword(email: string, password: string, organizationSlug: string | null): Promise<void> {
    if (!passwordField.safeParse(password).success) {
      throw new RecoveryRefused('A password has 12 to 256 characters.');
    }
    const organizationId = organizationSlug === null ? null : await this.#organization(organizationSlug);
    const [person, another] = await this.query.findPeople(email, organizationId);
    if (person === undefined) {
      throw new RecoveryRefused('Nobody signs in by this e-mail address.');
    }
    if (another !== undefined) {
      throw new RecoveryRefused('Several organizations have this e-mail address: add --organization with a slug.');
    }
    const scope = unsafelySystemScope(person.organization_id, 'the operator resets a password');
    const hash = await this.#hash(password, [email, person.display_name]);
    await this.database.transaction(async (tx) => {
      await this.users.setPasswordHash(tx, scope, person.id, hash);
      await this.sessions.endAll(scope, tx, person.id, 'password');
      await raiseEpochs(tx, scope, [person.id]);
      await this.trail.record(tx, scope, [
        { action: 'user.password.reset', objectKind: 'user', objectId: person.id, detail: { by: 'command line' } },
      ]);
    });
    await this.throttle.forget([
      this.digests.subject('account', email.toLowerCase()),
      this.digests.subject('user', person.organization_id, person.id),
    ]);
  }

  /** Makes a key and returns it, this once. Without a slug, in the first organisation. @throws RecoveryRefused */
  async createKey(name: string, role: Role, organizationSlug: string | null): Promise<string> {
    if (name.trim() === '' || name.length > 200) {
      throw new RecoveryRefused('A key has a name of 1 to 200 characters.');
    }
    const organizationId = await this.#organization(organizationSlug);
    const scope = unsafelySystemScope(organizationId, 'the operator makes a key');
    const key = makeKey(role === 'worker' ? 'worker' : 'key');
    await this.database.transaction(async (tx) => {
      const id = newId();
      await this.keys.insert(scope, tx, {
        id,
        name: name.trim(),
        role,
        userId: null,
        teamIds: [],
        teamRole: null,
        agentIds: [],
        expiresAt: null,
        isBootstrap: false,
        createdBy: null,
        createdWith: null,
      });
      await this.keys.insertSecret(scope, tx, id, {
        ...this.digests.of(key.text),
        publicId: key.publicId,
        lastFour: key.text.slice(-4),
      });
      await this.trail.record(tx, scope, [
        { action: 'api_key.create', objectKind: 'api_key', objectId: id, detail: { by: 'command line', role } },
      ]);
    });
    return key.text;
  }

  async #hash(password: string, words: readonly string[]): Promise<string> {
    try {
      return await this.passwords.hash({ password, path: '/password', words });
    } catch (error) {
      throw error instanceof DomainError && error.code === 'invalid-request'
        ? new RecoveryRefused(`The password ${error.message}.`)
        : error;
    }
  }

  async #organization(slug: string | null): Promise<string> {
    const organizationId = await this.query.findOrganization(slug);
    if (organizationId === null) {
      throw new RecoveryRefused(
        slug === null
          ? 'There is no organisation yet: start the server once, which makes the first.'
          : `There is no organisation with the slug ${slug}.`,
      );
    }
    return organizationId;
  }
}
