import { Identity1764000000000 } from '../../migrations/1764000000000-identity.js';
import { Work1764000000001 } from '../../migrations/1764000000001-work.js';

/** Every migration, oldest first. Never edit one that has been released; add another. */
export const migrations = [Identity1764000000000, Work1764000000001] as const;
