/**
 * Names that reach for the prototype of what they are set on. No field of ours has one, and code that copies members by name,
 * ours or a library's, is then safe without having to remember to be.
 */
export function isReservedName(name: string): boolean {
  // The length first: it sorts out nearly every name without comparing text.
  switch (name.length) {
    case 9:
      return name === '__proto__' || name === 'prototype';
    case 11:
      return name === 'constructor';
    default:
      return false;
  }
}

/**
 * True when the parsed value has fewer members than its text had names (one was repeated, and `JSON.parse` kept the last), or has
 * a reserved name. Comparing two counts costs far less than remembering the names of every object while scanning.
 *
 * No recursion: the depth is bounded, but nothing here depends on it.
 */
export function hasRefusedName(root: unknown, memberCount: number): boolean {
  const containers: object[] = [];
  let found = 0;
  let value = root;
  for (;;) {
    if (Array.isArray(value)) {
      pushContainers(containers, value);
    } else if (typeof value === 'object' && value !== null) {
      const names = Object.keys(value);
      found += names.length;
      if (names.some(isReservedName)) return true;
      pushContainers(containers, Object.values(value));
    }
    const next = containers.pop();
    if (next === undefined) return found !== memberCount;
    value = next;
  }
}

function pushContainers(containers: object[], values: readonly unknown[]): void {
  for (const value of values) {
    if (typeof value === 'object' && value !== null) containers.push(value);
  }
}
