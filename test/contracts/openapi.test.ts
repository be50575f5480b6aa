import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { HTTP_STATUS } from '../../src/http/filters/failure.js';
import { type RouteEntry, routeInventory } from '../../src/http/openapi/route-inventory.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- a document is walked as the JSON it is */
interface Operation {
  name: string;
  path: string;
  method: string;
  value: any;
  route: RouteEntry;
}

const WIRE: Record<string, string> = { Neocu: 'api-key', Recoupable: 'x-api-key', NLA: 'apikey' };

/** Where clients reach the server that describes itself; linters do not take localhost for an address. */
const PUBLIC_URL = 'https://tasks.internal.test';

/** A tool reads the whole document; beside other load that may take minutes, and the bound is for one that hangs. */
const TOOL_TIMEOUT_MS = 300_000;

const LINTERS = [
  {
    name: 'Redocly’s recommended rules',
    script: '@redocly/cli/bin/cli.js',
    args: ['lint', '--config', 'redocly.yaml', '--format', 'json'],
    problemsOf: ({ problems }: any) =>
      problems.map(({ ruleId, message, location }: any) => [ruleId, message, location[0]?.pointer]),
  },
  {
    name: 'Spectral’s rules for OpenAPI',
    script: '@stoplight/spectral-cli/dist/index.js',
    args: ['lint', '--ruleset', '.spectral.yaml', '--format', 'json', '--quiet', '--fail-severity', 'hint'],
    problemsOf: (problems: any) => problems.map(({ code, message, path }: any) => [code, message, path.join('/')]),
  },
];

let server: TestServer;
let document: any;
let operations: Operation[];
let ajv: Ajv2020;

beforeAll(async () => {
  server = await startServer({ PUBLIC_URL });
  const reply = await server.call('GET', '/openapi.json', { as: null });
  expect(reply.status).toBe(200);
  document = reply.body;
  const routes = routeInventory(server.app.get(DiscoveryService), server.app.get(MetadataScanner));
  operations = Object.entries<any>(document.paths).flatMap(([path, item]) =>
    Object.entries<any>(item).map(([method, value]) => {
      const route = routes.find(
        (one) => one.method === method.toUpperCase() && one.path.replace(/:(\w+)/g, '{$1}') === path,
      );
      if (route === undefined) throw new Error(`${method} ${path} is in the document, but no route`);
      return { name: `${method.toUpperCase()} ${path}`, path, method, value, route };
    }),
  );
  ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema({ $id: 'http://document.example/', components: document.components });
});
afterAll(async () => server.stop());

/** What is wrong with each operation, by name; a test expects nothing. */
function faults(find: (operation: Operation) => string | null | undefined | false): string[] {
  return operations.flatMap((operation) => {
    const fault = find(operation);
    return typeof fault === 'string' ? [`${operation.name}: ${fault}`] : [];
  });
}

function resolve(value: any): any {
  return typeof value?.$ref === 'string'
    ? value.$ref
        .slice(2)
        .split('/')
        .reduce((found: any, part: string) => found[part], document)
    : value;
}

function validatorOf(schema: any): ValidateFunction {
  return ajv.compile(
    JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"http://document.example/#/components/')),
  );
}

const SOME_ID = '0198f0a0-0000-7000-8000-000000000001';
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/;
const NEEDS_A_SESSION = new Set(['POST /api/v1/auth/refresh', 'POST /api/v1/me/password']);

/** True for a reply that says that the body is wrong in more than what it names. */
function isMalformed({ status, text }: Reply): boolean {
  return ![401, 403, 404, 409].includes(status) && !(status === 400 && /There is no such |No such /.test(text));
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-openapi-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs an installed tool; one that finds fault exits with an error and says on its standard output what it found. */
async function runTool(script: string, args: readonly string[]): Promise<{ stdout: string }> {
  const env = { ...process.env, NODE_OPTIONS: '', REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
  return promisify(execFile)(process.execPath, [join('node_modules', script), ...args], {
    env,
    maxBuffer: 64 * 1024 * 1024,
  }).catch((error: unknown) => error as { stdout: string });
}

/** The examples of a media type, with where they are. */
function examplesOf(media: any): any[] {
  const named = Object.values<any>(media.examples ?? {}).map((example) => resolve(example).value);
  return 'example' in media ? [media.example, ...named] : named;
}

describe('the OpenAPI document', () => {
  // First, since tests below keep this process busy for longer than connections are kept open.
  test('has examples that a fresh server accepts as they are, unless they name something that it does not have', async () => {
    const wrong: string[] = [];
    for (const { name, method, path, value } of operations) {
      const example = value.requestBody?.content['application/json']?.example;
      if (example === undefined) continue;
      const reply = await server.call(
        method.toUpperCase(),
        path.replace('{name}', 'A_SECRET').replace(/\{\w+\}/g, SOME_ID),
        { body: example },
      );
      const namesSomething = path.includes('{') || UUID.test(JSON.stringify(example)) || NEEDS_A_SESSION.has(name);
      // What is named by an id is not there (404, or 400 of that field), or is held by nobody (409).
      const isAccepted = reply.status < 300 || (namesSomething && !isMalformed(reply));
      if (!isAccepted) wrong.push(`${name}: ${reply.status} ${reply.text}`);
    }
    expect(wrong).toEqual([]);
  });

  test('is valid OpenAPI 3.1, by the schema of the specification', async () => {
    const result = await new Validator().validate(document);
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
  });

  test.each(LINTERS)(
    'passes $name without an error or a warning',
    async ({ script, args, problemsOf }) => {
      await inFolder(async (folder) => {
        const file = join(folder, 'openapi.json');
        await writeFile(file, JSON.stringify(document));
        expect(problemsOf(JSON.parse((await runTool(script, [...args, file])).stdout))).toEqual([]);
      });
    },
    TOOL_TIMEOUT_MS,
  );

  test(
    'gives TypeScript types that compile under strict, and events whose data the type tells',
    async () => {
      await inFolder(async (folder) => {
        const file = join(folder, 'openapi.json');
        await writeFile(file, JSON.stringify(document));
        await runTool('openapi-typescript/bin/cli.js', [file, '--output', join(folder, 'api.ts')]);
        await writeFile(
          join(folder, 'client.ts'),
          `import type { components, paths } from './api.js';
          export function textOf(event: components['schemas']['StreamEvent']): string {
            switch (event.type) {
              case 'delta': return event.data.text;
              case 'tool_call': return event.data.name;
              case 'end': return event.data.error?.message ?? event.data.status;
              // @ts-expect-error -- a status has no text
              case 'status': return event.data.text;
              default: return event.at;
            }
          }
          export type Sent = NonNullable<paths['/api/v1/tasks']['post']['requestBody']>['content']['application/json'];
          export const sent: Sent = { prompt: 'Hello', payload: { any: ['thing', 1, null] } };`,
        );
        const args = ['--noEmit', '--strict', '--module', 'nodenext', '--ignoreConfig', join(folder, 'client.ts')];
        const { stdout } = await runTool('typescript/bin/tsc', args);
        expect(stdout).toBe('');
      });
    },
    TOOL_TIMEOUT_MS,
  );

  test('names the public URL as its server', () => {
    expect(document.servers.map(({ url }: { url: string }) => url)).toEqual([PUBLIC_URL]);
  });

  test('names every route of the running server, and nothing else', () => {
    const routes = routeInventory(server.app.get(DiscoveryService), server.app.get(MetadataScanner));
    expect(operations.map(({ name }) => name).sort()).toEqual(
      routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`).sort(),
    );
  });

  test('gives every operation a summary, a description, a known tag and an id of its own', () => {
    const tags = document.tags.map(({ name }: { name: string }) => name);
    expect(faults(({ value }) => !value.summary && 'no summary')).toEqual([]);
    expect(faults(({ value }) => !value.description && 'no description')).toEqual([]);
    expect(
      faults(({ value }) => !(value.tags?.length === 1 && tags.includes(value.tags[0])) && `tags ${value.tags}`),
    ).toEqual([]);
    expect(faults(({ value }) => !/^[a-z][A-Za-z]+$/.test(value.operationId) && `id ${value.operationId}`)).toEqual([]);
    expect(new Set(operations.map(({ value }) => value.operationId)).size).toBe(operations.length);
  });

  test('says of every operation that needs a credential which it takes, its own page’s first, and of open ones that they take none', () => {
    expect(
      faults(({ value, route, path }) => {
        const schemes = value.security?.map((one: object) => Object.keys(one)[0]);
        if (route.declaration.kind === 'public') return schemes?.length !== 0 && `public, yet ${schemes}`;
        const first = WIRE[value.tags[0]] ?? 'bearer';
        const all = [
          'bearer',
          'x-api-key',
          'api-key',
          'apikey',
          ...(route.declaration.presigned === null ? [] : ['presigned']),
        ];
        return (schemes?.[0] !== first || schemes.toSorted().join() !== all.sort().join()) && `${path} has ${schemes}`;
      }),
    ).toEqual([]);
  });

  test('describes every parameter by a schema, and every path parameter of the path', () => {
    expect(
      faults(({ value }) => {
        const bare = value.parameters.find(
          (parameter: any) => parameter.schema === undefined || Object.keys(parameter.schema).length === 0,
        );
        return bare !== undefined && `${bare.name} has no schema`;
      }),
    ).toEqual([]);
    expect(
      faults(({ value, path }) => {
        const named = value.parameters
          .filter((one: any) => one.in === 'path' && one.required)
          .map((one: any) => one.name);
        return (
          named.join() !== [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).join() && `path parameters ${named}`
        );
      }),
    ).toEqual([]);
  });

  test('gives every JSON body and every JSON reply a schema and an example that fits it', () => {
    const wrong: string[] = [];
    for (const { name, value } of operations) {
      const bodies = Object.entries<any>(value.requestBody?.content ?? {}).map(([type, media]) => [
        `body ${type}`,
        media,
      ]);
      const replies = Object.entries<any>(value.responses).flatMap(([status, response]) =>
        Object.entries<any>(response.content ?? {}).map(([type, media]) => [`${status} ${type}`, media]),
      );
      for (const [where, media] of [...bodies, ...replies]) {
        if (!where.includes('json') || where.includes('ndjson')) continue;
        const examples = examplesOf(media);
        if (media.schema === undefined || examples.length === 0) {
          wrong.push(`${name} ${where}: no ${media.schema === undefined ? 'schema' : 'example'}`);
          continue;
        }
        const validate = validatorOf(media.schema);
        for (const example of examples) {
          if (!validate(example)) {
            wrong.push(`${name} ${where}: ${ajv.errorsText(validate.errors)}`);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('documents a success and every error that any route of its kind can answer', () => {
    expect(
      faults(({ value, route, path }) => {
        const needed = [
          ...(route.declaration.kind === 'requires' ? [401, 403, 500, 503] : []),
          400,
          ...(value.requestBody === undefined ? [] : [413, 415]),
          ...(path.includes('{') ? [404] : []),
          ...(value.parameters.some((one: any) => one.name === 'Idempotency-Key') ? [409, 422] : []),
        ];
        const lacking = needed.filter((status) => value.responses[status] === undefined);
        const succeeds = Object.keys(value.responses).some((status) => status.startsWith('2'));
        return (lacking.length > 0 || !succeeds) && `lacks ${succeeds ? lacking.join() : 'a success'}`;
      }),
    ).toEqual([]);
  });

  test('words errors as problem+json on native routes, and as the surface does on the published ones', () => {
    expect(
      faults(({ value }) => {
        const types = Object.entries<any>(value.responses)
          .filter(([status]) => Number(status) >= 400)
          .flatMap(([, response]) => Object.keys(response.content ?? {}));
        const expected =
          value.tags[0] === 'Operations'
            ? ['application/problem+json', 'application/json']
            : [WIRE[value.tags[0]] === undefined ? 'application/problem+json' : 'application/json'];
        return types.some((type) => !expected.includes(type)) && `errors as ${[...new Set(types)].join()}`;
      }),
    ).toEqual([]);
  });

  test('lists every code that a problem can have', () => {
    expect(document.components.schemas.Problem.properties.code.enum).toEqual(Object.keys(HTTP_STATUS));
  });

  test('documents Idempotency-Key on every POST that creates, and nowhere that does not take it', () => {
    const taking = operations
      .filter(({ value }) => value.parameters.some((one: any) => one.name === 'Idempotency-Key'))
      .map(({ name }) => name);
    const creating = operations
      .filter(
        ({ method, value }) =>
          method === 'post' &&
          value.responses['201'] !== undefined &&
          value.requestBody?.content['multipart/form-data'] === undefined,
      )
      .map(({ name }) => name);
    // A form is a stream that is read once. What creates and answers otherwise: many at once, work that goes on, an action on a run, a page's own status, a secret.
    const others = [
      'POST /api/tasks',
      'POST /api/v1/api-keys/{id}/rotate',
      'POST /api/v1/bulk-operations',
      'POST /api/v1/callback-secret/rotate',
      'POST /api/v1/runs/{id}/replay',
      'POST /api/v1/schedules/{id}/backfill',
      'POST /api/v1/schedules/{id}/trigger',
      'POST /api/v1/tasks/batch',
      'POST /api/v1/webhooks/{id}/rotate-secret',
      'POST /api/v1/webhooks/{id}/test',
    ];
    expect(taking.sort()).toEqual([...creating, ...others].sort());
  });

  test('keeps schemas under names of their own, each of them used', () => {
    const text = JSON.stringify(document);
    const unused = Object.keys(document.components.schemas).filter(
      (name) => !text.includes(`"#/components/schemas/${name}"`),
    );
    expect(unused).toEqual([]);
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(['TaskDetail', 'Run', 'Message', 'Problem', 'NlaTask']),
    );
    expect(text).not.toContain('$defs');
  });
});
