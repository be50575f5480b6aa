/** The same value for the same JSON, whatever the order of its members. Recursive: for values whose depth the body parser has bounded. */
export function canonicalJson(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(canonicalJson);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, item]) => [name, canonicalJson(item)]);
  }
  return value === undefined ? null : value;
}
