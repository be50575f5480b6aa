import { Module } from '@nestjs/common';
import { AccountsController } from './accounts/accounts.controller.js';
import { AccountsRepository } from './accounts/accounts.repository.js';
import { AccountsService } from './accounts/accounts.service.js';
import { DependentKeys } from './principals/dependent-keys.js';
import { DependentKeysRepository } from './principals/dependent-keys.repository.js';
import { OrganizationsController } from './organizations/organizations.controller.js';
import { OrganizationsRepository } from './organizations/organizations.repository.js';
import { OrganizationsService } from './organizations/organizations.service.js';
import { PrincipalsRepository } from './principals/principals.repository.js';
import { ProjectsController } from './projects/projects.controller.js';
import { ProjectsRepository } from './projects/projects.repository.js';
import { ProjectsService } from './projects/projects.service.js';
import { TeamsController } from './teams/teams.controller.js';
import { TeamsRepository } from './teams/teams.repository.js';
import { TeamsService } from './teams/teams.service.js';
import { UsersController } from './users/users.controller.js';
import { UsersRepository } from './users/users.repository.js';
import { UsersService } from './users/users.service.js';

@Module({
  controllers: [OrganizationsController, UsersController, TeamsController, ProjectsController, AccountsController],
  providers: [
    OrganizationsRepository,
    OrganizationsService,
    PrincipalsRepository,
    DependentKeysRepository,
    DependentKeys,
    UsersRepository,
    UsersService,
    TeamsRepository,
    TeamsService,
    ProjectsRepository,
    ProjectsService,
    AccountsRepository,
    AccountsService,
  ],
  exports: [OrganizationsService, UsersService, PrincipalsRepository],
})
export class OrganizationsModule {}
