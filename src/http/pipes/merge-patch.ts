/** Members of a JSON object. */
export type JsonObject = Record<string, unknown>;

/**
 * A JSON merge patch applied (RFC 7396, section 2): members of the patch replace those of the target, objects are merged, null
 * removes. Neither argument is changed. Depth is bounded by the body parser.
 */
export function mergePatch(target: unknown, patch: Readonly<JsonObject>): JsonObject {
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      merged.delete(name);
    } else {
      merged.set(name, isObject(value) ? mergePatch(merged.get(name), value) : value);
    }
  }
  return Object.fromEntries(merged);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
