export { type NewPassword, PasswordHasher } from './password-hasher.js';
export { PasswordsModule } from './passwords.module.js';
