import { type CanActivate, type ExecutionContext, Injectable, SetMetadata } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inputRefusal } from '../pipes/validation.pipe.js';

const ANY_QUERY = 'taskyard:any-query';

/**
 * For controllers whose routes pass over query parameters that they do not know: a published page may say so, and whoever looks after a
 * process may add some of its own.
 */
export function AnyQuery(): ClassDecorator {
  return SetMetadata(ANY_QUERY, true);
}

/** What a route that takes nothing takes. Some clients send an empty object with every POST. */
const NOTHING = z.strictObject({});

/**
 * What a route does not take is refused and not passed over, also where it takes no body or no query at all: elsewhere the route's own
 * schema refuses names that it does not know, and such a route has none.
 */
@Injectable()
export class DeclaredInputGuard implements CanActivate {
  /** By handler: what a route takes never changes. */
  readonly #taken = new WeakMap<Function, { body: boolean; query: boolean }>();

  constructor(private readonly reflector: Reflector) {}

  /** @throws DomainError `invalid-request` */
  canActivate(context: ExecutionContext): boolean {
    const { body, query } = context.switchToHttp().getRequest<FastifyRequest>();
    const taken = this.#takenBy(context);
    if (!taken.query) {
      assertNothing(query, true);
    }
    if (!taken.body && body !== undefined) {
      assertNothing(body, false);
    }
    return true;
  }

  #takenBy(context: ExecutionContext): { body: boolean; query: boolean } {
    const handler = context.getHandler();
    let taken = this.#taken.get(handler);
    if (taken === undefined) {
      const declared: unknown = Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), handler.name);
      // Names like `3:0`: where an argument is taken from, and which argument it is. Decorators of our own have random names before the colon.
      const sources = new Set(Object.keys(declared ?? {}).map((name) => name.slice(0, name.indexOf(':'))));
      const takesAny = this.reflector.get<unknown>(ANY_QUERY, context.getClass()) === true;
      taken = {
        body: sources.has(String(RouteParamtypes.BODY)),
        query: takesAny || sources.has(String(RouteParamtypes.QUERY)),
      };
      this.#taken.set(handler, taken);
    }
    return taken;
  }
}

function assertNothing(value: unknown, isQuery: boolean): void {
  const result = NOTHING.safeParse(value);
  if (!result.success) {
    throw inputRefusal(result.error.issues, NOTHING, isQuery);
  }
}
