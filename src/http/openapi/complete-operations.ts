/**
 * What is true of every operation of a kind is said here, once, and not on each handler: which credentials it takes, what any
 * route that needs one, takes a body or names a resource can refuse, the headers that come along. Handlers say what is theirs.
 *
 * A route of the native API answers errors as problem+json. One of a published surface answers in that surface's own shape; its
 * handlers document that shape, and what they leave out is filled in by the same shape.
 */
import type { OpenAPIObject } from '@nestjs/swagger';
import type { ErrorCode } from '../../kernel/errors.js';
import { HTTP_STATUS } from '../filters/failure.js';
import type { RouteEntry } from './route-inventory.js';
import { DETAILS } from './problem-examples.js';
import { PROBLEM_TYPE, problemResponse } from './problem-response.js';

type PathItem = OpenAPIObject['paths'][string];
export type Operation = NonNullable<PathItem['get']>;
type Responses = Operation['responses'];
type Response = Exclude<NonNullable<Responses[string]>, { $ref: string }>;
type Parameter = Exclude<NonNullable<Operation['parameters']>[number], { $ref: string }>;

type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;
type InlineSchema = Exclude<Schemas[string], { $ref: string }>;

/** Every way to show a credential; on a published surface, its page's own comes first. */
const SCHEMES = ['bearer', 'x-api-key', 'api-key', 'apikey'] as const;
const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;
const PARAMETER_ORDER = ['path', 'query', 'header'];

/** Completes each operation in place. @throws Error where the document and the routes do not name the same operations. */
export function completeOperations(
  document: OpenAPIObject,
  routes: readonly RouteEntry[],
  requestExamples: Readonly<Record<string, unknown>>,
): void {
  const undocumented = new Set(
    Object.entries(document.paths).flatMap(([path, item]) => methodsOf(item).map((method) => `${method} ${path}`)),
  );
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    const method = METHODS.find((one) => one === route.method.toLowerCase());
    const operation = method === undefined ? undefined : document.paths[path]?.[method];
    if (method === undefined || operation === undefined) {
      throw new Error(`the OpenAPI document lacks ${route.method} ${path}`);
    }
    undocumented.delete(`${method} ${path}`);
    complete(operation, route, requestExamples, document.components?.schemas ?? {});
  }
  if (undocumented.size > 0) {
    throw new Error(`the OpenAPI document describes what is no route: ${[...undocumented].join(', ')}`);
  }
}

/** The methods a path has. */
function methodsOf(item: PathItem): (typeof METHODS)[number][] {
  return METHODS.filter((method) => item[method] !== undefined);
}

function complete(
  operation: Operation,
  route: RouteEntry,
  requestExamples: Readonly<Record<string, unknown>>,
  schemas: Schemas,
): void {
  const surface = Object.keys(operation.security?.[0] ?? {})[0];
  const isWire = (operation.security ?? []).length === SCHEMES.length;
  operation.security = securityOf(route, isWire ? surface : undefined);
  operation.parameters = parametersOf(operation);
  completeBody(operation, route.method, isWire, requestExamples, schemas);
  const surfaceErrors = isWire ? surfaceErrorsOf(operation.responses) : null;
  for (const code of commonErrors(operation, route)) {
    if (surfaceErrors === null) {
      addProblem(operation.responses, code);
    } else {
      addSurfaceError(operation.responses, code, surfaceErrors);
    }
  }
  for (const [status, response] of Object.entries(operation.responses)) {
    if (response !== undefined && !('$ref' in response)) {
      response.headers = { ...response.headers, ...headersOf(Number(status), operation) };
    }
  }
}

function securityOf(route: RouteEntry, own: string | undefined): Record<string, string[]>[] {
  if (route.declaration.kind === 'public') {
    return [];
  }
  const schemes = own === undefined ? [...SCHEMES] : [own, ...SCHEMES.filter((scheme) => scheme !== own)];
  return [...schemes, ...(route.declaration.presigned === null ? [] : ['presigned'])].map((scheme) => ({
    [scheme]: [],
  }));
}

function parametersOf(operation: Operation): Parameter[] {
  const byName = new Map<string, Parameter>();
  for (const parameter of operation.parameters ?? []) {
    if (!('$ref' in parameter)) {
      byName.set(`${parameter.in} ${parameter.name.toLowerCase()}`, parameter);
    }
  }
  for (const parameter of byName.values()) {
    if (parameter.in === 'path') {
      parameter.description ??= pathParameterSentence(parameter.name);
    }
  }
  return [...byName.values()].sort((one, other) => PARAMETER_ORDER.indexOf(one.in) - PARAMETER_ORDER.indexOf(other.in));
}

function pathParameterSentence(name: string): string {
  return name === 'id' ? 'The id of what the path names.' : `The id of the ${name.replace(/_id$/, '')}.`;
}

function completeBody(
  operation: Operation,
  method: string,
  isWire: boolean,
  examples: Readonly<Record<string, unknown>>,
  schemas: Schemas,
): void {
  const body = operation.requestBody;
  if (body === undefined || '$ref' in body) {
    return;
  }
  const json = body.content['application/json'];
  if (json === undefined) {
    return;
  }
  const schema = resolved(json.schema, schemas);
  const example: unknown = schema?.example ?? examples[operation.operationId ?? ''];
  if (example !== undefined) {
    json.example = example;
  }
  // A body with a default may be left out; so may DELETE's, which proxies drop.
  body.required = schema?.default === undefined && method !== 'DELETE';
  if (method === 'PATCH' && !isWire) {
    body.content['application/merge-patch+json'] = json;
  }
}

function resolved(schema: Schemas[string] | undefined, schemas: Schemas): InlineSchema | undefined {
  const found = schema !== undefined && '$ref' in schema ? schemas[schema.$ref.replace(/^.*\//, '')] : schema;
  return found === undefined || '$ref' in found ? undefined : found;
}

/** What this operation can answer because of what it is. */
function commonErrors(operation: Operation, route: RouteEntry): ErrorCode[] {
  const parameters = (operation.parameters ?? []).filter((parameter): parameter is Parameter => !('$ref' in parameter));
  const hasBody = operation.requestBody !== undefined;
  // Every route refuses control characters in its path and query, and most refuse what they do not take.
  const codes: ErrorCode[] = ['invalid-request'];
  if (parameters.some(({ name }) => name === 'cursor')) {
    codes.push('invalid-cursor');
  }
  if (hasBody) {
    codes.push('malformed-json', 'payload-too-large', 'unsupported-media-type');
  }
  if (route.declaration.kind === 'requires') {
    codes.push('unauthenticated', 'forbidden');
  }
  if (parameters.some((parameter) => parameter.in === 'path')) {
    codes.push('not-found');
  }
  if (takesIdempotencyKey(operation)) {
    codes.push('idempotency-in-progress', 'idempotency-mismatch');
  }
  if (route.declaration.kind === 'requires' || hasBody) {
    codes.push('internal', 'unavailable');
  }
  return codes;
}

function addProblem(responses: Responses, code: ErrorCode): void {
  const status = String(HTTP_STATUS[code][0]);
  const existing = responses[status];
  const examples =
    existing === undefined || '$ref' in existing ? undefined : existing.content?.[PROBLEM_TYPE]?.examples;
  if (existing !== undefined && examples === undefined) {
    // The handler documents a body of its own for this status.
    return;
  }
  const known = Object.keys(examples ?? {}).filter((name): name is ErrorCode => Object.hasOwn(HTTP_STATUS, name));
  responses[status] = { ...problemResponse([...new Set([...known, code])]) };
}

/** A surface's error as its handlers document it: one for the caller's faults, one for ours. */
interface SurfaceErrors {
  caller: Response;
  ours: Response;
}

function surfaceErrorsOf(responses: Responses): SurfaceErrors {
  const [caller, ours] = [responses['401'], responses['500']];
  if (caller === undefined || ours === undefined || '$ref' in caller || '$ref' in ours) {
    throw new Error('every operation of a published surface documents its 401 and its 500');
  }
  return { caller, ours };
}

function addSurfaceError(responses: Responses, code: ErrorCode, { caller, ours }: SurfaceErrors): void {
  const [status, title] = HTTP_STATUS[code];
  if (responses[String(status)] !== undefined) {
    return;
  }
  const content = (status >= 500 ? ours : caller).content?.['application/json'];
  const example: unknown = content?.example;
  const worded =
    status < 500 && typeof example === 'object' && example !== null ? { ...example, error: DETAILS[code] } : example;
  responses[String(status)] = {
    description: `${title}.`,
    content: { 'application/json': { ...content, example: worded } },
  };
}

function headersOf(status: number, operation: Operation): Record<string, { $ref: string }> {
  const names = ['x-request-id'];
  if (status === 401) names.push('www-authenticate');
  if (status === 429 || status === 503) names.push('retry-after');
  if (status === 201) names.push('location');
  if (status < 300 && takesIdempotencyKey(operation)) names.push('idempotency-replayed');
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function takesIdempotencyKey({ parameters = [] }: Operation): boolean {
  return parameters.some((parameter) => 'name' in parameter && parameter.name === 'Idempotency-Key');
}
