import { Module } from '@nestjs/common';
import { AccountsController } from './accounts.controller.js';
import { AccountsRepository } from './accounts.repository.js';
import { AccountsService } from './accounts.service.js';
import { DependentKeys } from './dependent-keys.js';
import { DependentKeysRepository } from './dependent-keys.repository.js';
import { OrganizationsController } from './organizations.controller.js';
import { OrganizationsRepository } from './organizations.repository.js';
import { OrganizationsService } from './organizations.service.js';
import { PrincipalsRepository } from './principals.repository.js';
import { ProjectsController } from './projects.controller.js';
import { ProjectsRepository } from './projects.repository.js';
import { ProjectsService } from './projects.service.js';
import { TeamsController } from './teams.controller.js';
import { TeamsRepository } from './teams.repository.js';
import { TeamsService } from './teams.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

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
