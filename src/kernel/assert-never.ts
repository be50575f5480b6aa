/** Ends an exhaustive switch: a new member of the union stops compiling here instead of falling through. */
export function assertNever(value: never): never {
  throw new Error(`unhandled variant: ${JSON.stringify(value)}`);
}
