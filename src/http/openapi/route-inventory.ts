import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { type DiscoveryService, type MetadataScanner } from '@nestjs/core';
import { type AccessDeclaration, accessDeclaration } from '../../access/index.js';

/** One route as the container has it. */
export interface RouteEntry {
  method: string;
  path: string;
  handler: string;
  declaration: AccessDeclaration;
}

/**
 * Every route of every controller with what it declares, in path order.
 * @throws Error naming each route that declares nothing: the start must fail, not the night.
 */
export function routeInventory(discovery: DiscoveryService, scanner: MetadataScanner): RouteEntry[] {
  const routes: RouteEntry[] = [];
  const undeclared: string[] = [];
  for (const { instance, metatype } of discovery.getControllers()) {
    if (!(metatype instanceof Function) || typeof instance !== 'object' || instance === null) {
      continue;
    }
    const bases = listOf(Reflect.getMetadata(PATH_METADATA, metatype));
    const prototype: unknown = metatype.prototype;
    if (typeof prototype !== 'object' || prototype === null) {
      continue;
    }
    for (const name of scanner.getAllMethodNames(prototype)) {
      const handler: unknown = Reflect.get(prototype, name);
      if (!(handler instanceof Function) || !Reflect.hasMetadata(PATH_METADATA, handler)) {
        continue;
      }
      const method = RequestMethod[Number(Reflect.getMetadata(METHOD_METADATA, handler))] ?? '?';
      const declaration = accessDeclaration(handler);
      for (const base of bases) {
        for (const own of listOf(Reflect.getMetadata(PATH_METADATA, handler))) {
          const path = `/${[base, own]
            .map((part) => part.replace(/^\/+|\/+$/g, ''))
            .filter(Boolean)
            .join('/')}`;
          const entry = { method, path, handler: `${metatype.name}.${name}` };
          if (declaration === null) {
            undeclared.push(`${method} ${path} (${entry.handler})`);
          } else {
            routes.push({ ...entry, declaration });
          }
        }
      }
    }
  }
  if (undeclared.length > 0) {
    throw new Error(`routes without @Requires or @Public: ${undeclared.join(', ')}`);
  }
  return routes.sort((left, right) => `${left.path} ${left.method}`.localeCompare(`${right.path} ${right.method}`));
}

function listOf(value: unknown): string[] {
  if (Array.isArray(value)) {
    return value.map(String);
  }
  return [typeof value === 'string' ? value : ''];
}
