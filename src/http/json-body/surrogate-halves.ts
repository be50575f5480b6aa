/**
 * Halves of surrogate pairs in a parsed body, where its route asked to keep them: a program that streams text in UTF-16 code units may cut a
 * character in two between two strings. The route joins them, and replaces all others before anything is stored.
 */
const kept = new WeakSet<object>();
const HALVES = /\p{Surrogate}/gu;

export function markHalves(value: unknown): void {
  if (typeof value === 'object' && value !== null) {
    kept.add(value);
  }
}

/** True of a parsed body that holds halves. Ordinary bodies hold none, and need not be walked. */
export function hasHalves(value: unknown): boolean {
  return typeof value === 'object' && value !== null && kept.has(value);
}

/** A copy in which each half is U+FFFD, in names too. Recursive: for values whose depth the parser has bounded. */
export function withoutHalves(value: unknown): unknown {
  if (typeof value === 'string') {
    return value.replace(HALVES, '\uFFFD');
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map(withoutHalves);
  }
  const members: [string, unknown][] = Object.entries(value);
  return Object.fromEntries(members.map(([name, member]) => [withoutHalves(name), withoutHalves(member)]));
}
