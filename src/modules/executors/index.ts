export { ExecutorsModule } from './executors.module.js';
