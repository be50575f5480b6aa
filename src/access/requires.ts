import type { Action } from './actions.js';

/** What a route says of itself. A route that says nothing stops the start. */
export type AccessDeclaration =
  | { kind: 'requires'; action: Action; presigned: string | null; parameters: readonly string[] }
  | { kind: 'public'; reason: string };

/** By handler; a map and not metadata, so that nothing but these decorators can write it. */
const DECLARATIONS = new WeakMap<Function, AccessDeclaration>();

/**
 * The route needs this action. With `presigned`, a link signed for that purpose (see `infrastructure/signed-urls`) is a credential here
 * too, standing for its issuer as the issuer is now. `parameters` are the route's own query parameters, which are not part of a
 * link; whatever else the query holds must have been signed.
 */
export function Requires(
  action: Action,
  options: { presigned?: string; parameters?: readonly string[] } = {},
): MethodDecorator {
  return declare({
    kind: 'requires',
    action,
    presigned: options.presigned ?? null,
    parameters: options.parameters ?? [],
  });
}

/** Anyone may call the route; the reason is shown in the route inventory. */
export function Public(reason: string): MethodDecorator {
  return declare({ kind: 'public', reason });
}

function declare(declaration: AccessDeclaration): MethodDecorator {
  return (_target, _name, descriptor) => {
    if (descriptor.value instanceof Function) {
      DECLARATIONS.set(descriptor.value, declaration);
    }
  };
}

/** What a handler declared; null where it declared nothing. */
export function accessDeclaration(handler: Function): AccessDeclaration | null {
  return DECLARATIONS.get(handler) ?? null;
}
