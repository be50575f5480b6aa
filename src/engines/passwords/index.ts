export { type NewPassword, hashNewPassword } from './new-password.js';
export { isOutdated, verifyPassword } from './passwords.js';
