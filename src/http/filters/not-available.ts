import type { z } from 'zod';

const NAMES = new WeakMap<object, Readonly<Record<string, string>>>();

/**
 * Marks documented keys that this version refuses: a strict schema without them would call them unknown, which is the wrong thing
 * to tell a client that reads the documentation. `names` maps the key to what it would do ("A callback"); a key within another
 * is written with a dot (`schedule.overlap`).
 */
export function withNotAvailable<Schema extends z.ZodType>(
  schema: Schema,
  names: Readonly<Record<string, string>>,
): Schema {
  NAMES.set(schema, names);
  return schema;
}

/** What the key would do, where the schema marked it as not available; null otherwise. */
export function notAvailableName(schema: unknown, key: string): string | null {
  const names = typeof schema === 'object' && schema !== null ? NAMES.get(schema) : undefined;
  return names !== undefined && Object.hasOwn(names, key) ? (names[key] ?? null) : null;
}
