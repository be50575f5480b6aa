/**
 * What a start leaves behind, whatever it found: a first organisation, a key that can do everything in it, and where the operator
 * named one, a person who can sign in.
 *
 * One transaction under an advisory lock, so that of several replicas starting at once one does it and the others find it done.
 * `BOOTSTRAP_API_KEY` is what the operator says it is: changed, the old one ends with the commit; the same, nothing happens, not
 * even where that key was revoked since (a revocation is not undone by a restart). `BOOTSTRAP_ADMIN_*` makes a person and never
 * changes one.
 */
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { type WriteScope, unsafelySystemScope } from '../../../access/index.js';
import { AppConfig, ConfigError } from '../../../config/app-config.js';
import { Database, type Tx } from '../../../database/database.js';
import { PasswordHasher } from '../../../infrastructure/passwords/index.js';
import { DomainError } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { Log } from '../../../kernel/log.js';
import { OrganizationsService, UsersService } from '../../organizations/index.js';
import { KeyDigests } from '../credentials/key-digests.js';
import { type NewKey, makeKey, readKey } from '../credentials/key-form.js';
import { ApiKeysRepository } from '../keys/api-keys.repository.js';
import { BootstrapRepository } from './bootstrap.repository.js';
import { hasKeyFile, writeKeyFile } from './first-key-file.js';

export interface BootstrapOutcome {
  /** True where this start made the first organisation. */
  isFirstStart: boolean;
  /** The key that was made, for a terminal only; null where the operator chose it, or none was made. */
  key: string | null;
  /** The file that the key is in; null where none was made. */
  keyFile: string | null;
}

@Injectable()
export class Bootstrap implements OnApplicationBootstrap {
  outcome: BootstrapOutcome = { isFirstStart: false, key: null, keyFile: null };

  constructor(
    private readonly config: AppConfig,
    private readonly database: Database,
    private readonly repository: BootstrapRepository,
    private readonly organizations: OrganizationsService,
    private readonly users: UsersService,
    private readonly keys: ApiKeysRepository,
    private readonly digests: KeyDigests,
    private readonly log: Log,
    private readonly passwords: PasswordHasher,
  ) {}

  /** @throws ConfigError where BOOTSTRAP_API_KEY or BOOTSTRAP_ADMIN_PASSWORD cannot be used */
  async onApplicationBootstrap(): Promise<void> {
    this.outcome = await this.database.transaction(async (tx) => {
      await this.repository.lock(tx);
      const operator = await this.repository.findOperator(tx);
      return operator === null ? this.#first(tx) : this.#later(tx, scopeOf(operator));
    });
    await this.#tellKeyFile();
  }

  async #first(tx: Tx): Promise<BootstrapOutcome> {
    const admin = this.config.bootstrapAdmin;
    const { organizationId } = await this.organizations.found(tx, {
      name: 'Main',
      slug: 'main',
      operatesInstance: true,
      owner:
        admin === null ? null : { email: admin.email, displayName: admin.email, passwordHash: await this.#hash(admin) },
    });
    const chosen = this.#chosenKey();
    const key = chosen ?? makeKey('key');
    await this.#insertKey(tx, scopeOf(organizationId), key);
    if (chosen !== null) {
      return { isFirstStart: true, key: null, keyFile: null };
    }
    // Last before the commit, so that nothing but a crash leaves a file without its database.
    await writeKeyFile(this.config.firstKeyFile, key.text);
    return { isFirstStart: true, key: key.text, keyFile: this.config.firstKeyFile };
  }

  async #later(tx: Tx, scope: WriteScope): Promise<BootstrapOutcome> {
    const chosen = this.#chosenKey();
    if (chosen !== null) {
      await this.#applyKey(tx, scope, chosen);
    }
    const admin = this.config.bootstrapAdmin;
    if (admin !== null && !(await this.repository.hasPerson(scope, tx, admin.email))) {
      const passwordHash = await this.#hash(admin);
      await this.users.add(scope, tx, { email: admin.email, displayName: admin.email, role: 'owner', passwordHash });
      this.log.info('the person of BOOTSTRAP_ADMIN_EMAIL was added');
    }
    return { isFirstStart: false, key: null, keyFile: null };
  }

  /** Says where the first key is, and while it lies there that it should not. */
  async #tellKeyFile(): Promise<void> {
    const { keyFile } = this.outcome;
    if (keyFile !== null) {
      this.log.info('the first API key is in a file', { file: keyFile });
    } else if (await hasKeyFile(this.config.firstKeyFile)) {
      this.log.info('the first API key is still in its file; keep the key elsewhere and delete the file', {
        file: this.config.firstKeyFile,
      });
    }
  }

  async #applyKey(tx: Tx, scope: WriteScope, chosen: NewKey): Promise<void> {
    const current = await this.repository.findKey(scope, tx);
    const stored = await this.repository.findSecret(tx, this.#publicIds(chosen));
    const isSame =
      stored !== null &&
      this.digests.matches(chosen.text, { digest: stored.digest, pepperVersion: stored.pepper_version });
    if (stored !== null && stored.api_key_id !== current?.id) {
      throw new ConfigError('BOOTSTRAP_API_KEY is, or was, another key of this instance; set one of its own.');
    }
    if (current === null) {
      await this.#insertKey(tx, scope, chosen);
    } else if (isSame) {
      if (current.is_disabled) {
        this.log.warn('the key of BOOTSTRAP_API_KEY was revoked and stays so; set another to have one');
      }
    } else if (current.is_disabled) {
      await this.repository.retireKey(scope, tx, current.id);
      await this.#insertKey(tx, scope, chosen);
    } else {
      await this.keys.endSecrets(scope, tx, current.id, 0);
      await this.keys.insertSecret(scope, tx, current.id, this.#secretOf(chosen));
      await this.keys.raiseEpoch(scope, tx, current.id);
      this.log.info('BOOTSTRAP_API_KEY has changed; the old key is revoked');
    }
  }

  async #insertKey(tx: Tx, scope: WriteScope, key: NewKey): Promise<void> {
    const id = newId();
    await this.keys.insert(scope, tx, {
      id,
      name: 'bootstrap',
      role: 'admin',
      userId: null,
      teamIds: [],
      teamRole: null,
      agentIds: [],
      expiresAt: null,
      isBootstrap: true,
      createdBy: null,
      createdWith: null,
    });
    await this.keys.insertSecret(scope, tx, id, this.#secretOf(key));
  }

  /** The operator's key as we store it: in our form it is a key like any other, else it goes by an id derived from it. */
  #chosenKey(): NewKey | null {
    const text = this.config.bootstrapApiKey;
    if (text === null) {
      return null;
    }
    const read = readKey(text);
    const publicId = read?.form === 'ours' ? read.publicId : this.digests.operatorPublicIds(text)[0];
    if (read === null || publicId === undefined) {
      throw new ConfigError(
        'BOOTSTRAP_API_KEY begins like a key made here but has a mistake in it; copy it again or choose another.',
      );
    }
    return { text, publicId };
  }

  #publicIds(key: NewKey): string[] {
    return readKey(key.text)?.form === 'ours' ? [key.publicId] : this.digests.operatorPublicIds(key.text);
  }

  #secretOf(key: NewKey) {
    return { ...this.digests.of(key.text), publicId: key.publicId, lastFour: key.text.slice(-4) };
  }

  async #hash({ email, password }: { email: string; password: string }): Promise<string> {
    try {
      return await this.passwords.hash({ password, path: '/BOOTSTRAP_ADMIN_PASSWORD', words: [email] });
    } catch (error) {
      throw error instanceof DomainError && error.code === 'invalid-request'
        ? new ConfigError(`BOOTSTRAP_ADMIN_PASSWORD ${error.message}.`)
        : error;
    }
  }
}

function scopeOf(organizationId: string): WriteScope {
  return unsafelySystemScope(organizationId, 'the start of the server prepares the first organisation');
}
