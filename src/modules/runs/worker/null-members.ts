import { z } from 'zod';
import { isObject } from './worker-error.js';

/**
 * The schema of an object whose optional members may be null, which counts as absent: many clients write a field that they have not set
 * as null. Where the member's own schema takes null, it stays.
 */
export function nullsAsAbsent<Shape extends z.ZodObject>(schema: Shape): z.ZodPreprocess<Shape> {
  const names = Object.entries(schema.shape).flatMap(([name, member]) =>
    z.safeParse(member, undefined).success && !z.safeParse(member, null).success ? [name] : [],
  );
  return z.preprocess(
    (value) =>
      isObject(value) && names.some((name) => value[name] === null)
        ? Object.fromEntries(Object.entries(value).filter(([name, member]) => member !== null || !names.includes(name)))
        : value,
    schema,
  );
}
