import { Injectable } from '@nestjs/common';
import { type Actor, READ_ACTIONS, WRITE_ACTIONS, may, readScope, writeScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { PasswordHasher } from '../../../infrastructure/passwords/index.js';
import { forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { UsersService, raiseEpochs } from '../../organizations/index.js';
import { LoginService } from '../sessions/login.service.js';
import { SessionsRepository } from '../sessions/sessions.repository.js';
import { MeQuery } from './me.query.js';
import type { Me, PasswordChange } from './me.schema.js';

/** What a caller may know and change of themselves. */
@Injectable()
export class MeService {
  constructor(
    private readonly database: Database,
    private readonly query: MeQuery,
    private readonly logins: LoginService,
    private readonly sessions: SessionsRepository,
    private readonly users: UsersService,
    private readonly passwords: PasswordHasher,
  ) {}

  async get(actor: Actor): Promise<Me> {
    const names = await this.query.names(readScope(actor, 'self:read'));
    if (names === null || actor.kind === 'system') {
      throw notFound('caller');
    }
    return {
      ...names,
      kind: actor.kind,
      role: actor.role,
      teams: names.teams.map((team) => ({ ...team, role: actor.teams.get(team.id) ?? 'viewer' })),
      permissions: [...READ_ACTIONS, ...WRITE_ACTIONS].filter((action) => may(actor, action)),
    };
  }

  /**
   * Sets another password and ends every session of the user, this one included: whoever learned the old one is out.
   * @throws DomainError `forbidden` for a key, `invalid-request` for a wrong current or a common new password, `rate-limited`
   */
  async changePassword(actor: Actor, change: PasswordChange, address: string): Promise<void> {
    const scope = writeScope(actor, 'self:update');
    const { userId } = actor;
    if (actor.kind !== 'user' || userId === null) {
      throw forbidden('A password is changed by its person, signed in; not with an API key.');
    }
    const { hash, words } = await this.query.passwordFacts(readScope(actor, 'self:read'));
    if (!(await this.logins.confirm({ organizationId: actor.organizationId, userId, hash }, change.current, address))) {
      throw invalid('/current', 'This is not your password.');
    }
    const newHash = await this.passwords.hash({ password: change.new, path: '/new', words });
    await this.database.write(scope, async (tx) => {
      await this.users.setPasswordHash(tx, scope, userId, newHash);
      await this.sessions.endAll(scope, tx, userId, 'password');
      await raiseEpochs(tx, scope, [userId]);
    });
  }
}
