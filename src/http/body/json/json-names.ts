/**
 * The one name that sets the prototype of an object when it is assigned, so code that copies members by name, ours or a library's, is safe
 * without having to remember to be. (`constructor` and `prototype` are ordinary names when they are assigned to a new object.)
 */
export function isReservedName(name: string): boolean {
  return name === '__proto__';
}

/**
 * True when the parsed value has fewer members than its text had names (one was repeated, and `JSON.parse` kept the last), or has
 * a reserved name. Each object is walked once. Comparing two counts costs far less than remembering the names of every object while scanning.
 *
 * No recursion: the depth is bounded, but nothing here depends on it.
 */
export function hasRefusedName(root: unknown, memberCount: number): boolean {
  const containers: object[] = [];
  let found = 0;
  let value = root;
  for (;;) {
    if (Array.isArray(value)) {
      const items: readonly unknown[] = value;
      for (const item of items) {
        if (typeof item === 'object' && item !== null) containers.push(item);
      }
    } else if (typeof value === 'object' && value !== null) {
      const members: [string, unknown][] = Object.entries(value);
      for (const [name, member] of members) {
        found += 1;
        if (isReservedName(name)) return true;
        if (typeof member === 'object' && member !== null) containers.push(member);
      }
    }
    const next = containers.pop();
    if (next === undefined) return found !== memberCount;
    value = next;
  }
}
