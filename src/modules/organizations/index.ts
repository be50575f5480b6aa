export { readableAccount, readableProject, readableTeam } from './directory.query.js';
export { OrganizationsModule } from './organizations.module.js';
export {
  OrganizationsService,
  type CreatedOrganization,
  type NewOrganization,
} from './organizations/organizations.service.js';
export { OrganizationProvisioner } from './organizations/organization-provisioner.js';
export { PrincipalsRepository, raiseEpochs, type NewPrincipal } from './principals/principals.repository.js';
export { UsersService } from './users/users.service.js';
export { emailField, idField, nameField, passwordField, slugField, timeField } from './fields.schema.js';
export { organizationSchema, type OrganizationView } from './organizations/organizations.schema.js';
export { userSchema, type UserView } from './users/users.schema.js';
export { AccountEntity } from './accounts/account.entity.js';
export { OrganizationEntity } from './organizations/organization.entity.js';
export { PrincipalEntity } from './principals/principal.entity.js';
export { ProjectEntity } from './projects/project.entity.js';
export { ProjectShareEntity } from './projects/project-share.entity.js';
export { TeamEntity } from './teams/team.entity.js';
export { TeamMemberEntity } from './teams/team-member.entity.js';
export { UserEntity } from './users/user.entity.js';
