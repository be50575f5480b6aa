export { hashPassword, isOutdated, verifyPassword } from './passwords.js';
