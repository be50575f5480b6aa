// `node --import` this to run the project's TypeScript in a process of its own.
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
