import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Get, Module } from '@nestjs/common';
import { DiscoveryService, MetadataScanner, NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../../src/app.module.js';
import { POLICY, ROLES, type Role } from '../../src/access/index.js';
import { loadConfig } from '../../src/config/app-config.js';
import { configureApp, createAdapter } from '../../src/configure-app.js';
import { type RouteEntry, routeInventory } from '../../src/http/openapi/route-inventory.js';
import { Log } from '../../src/kernel/log.js';
import { cloneDatabase } from '../support/databases.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let inventory: RouteEntry[];

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  inventory = routeInventory(server.app.get(DiscoveryService), server.app.get(MetadataScanner));
});

afterAll(() => server.stop());

/** What may be called by anyone; a route that becomes public has to be written here, with a reviewer looking. */
const PUBLIC = [
  'GET /.well-known/jwks.json',
  'GET /api/v1/viewers/:file',
  'GET /health/live',
  'GET /health/ready',
  'POST /api/v1/auth/login',
  'POST /api/v1/auth/logout',
  'POST /api/v1/auth/refresh',
];

/** Served beside the routes of controllers: the documents, for everyone. */
const DOCUMENTS = /^\/(docs(\/.*)?|openapi\.json)$/;

describe('the inventory of routes', () => {
  test('is the reviewed one: every route with its surface, its action and who may', () => {
    expect(table(inventory)).toMatchSnapshot();
  });

  test('is public exactly where the allow-list says', () => {
    const open = inventory.filter(({ declaration }) => declaration.kind === 'public').map(nameOf);
    expect(open.toSorted()).toEqual(PUBLIC);
  });

  test('gives a reason for each public route', () => {
    const reasons = inventory.flatMap(({ declaration }) => (declaration.kind === 'public' ? [declaration.reason] : []));
    expect(reasons).toHaveLength(PUBLIC.length);
    expect(reasons.filter((reason) => reason.length < 20)).toEqual([]);
  });

  test('takes signed links on routes that only read, and to send what was announced', () => {
    const presigned = inventory.filter(
      ({ declaration }) => declaration.kind === 'requires' && declaration.presigned !== null,
    );
    expect(presigned.map(nameOf)).toEqual([
      'GET /api/v1/assets/:id/content',
      'PUT /api/v1/assets/:id/content',
      'GET /api/v1/assets/:id/embed',
      'PUT /api/v1/assets/:id/parts/:number',
      'GET /api/v1/assets/:id/thumbnail',
      'GET /api/v1/streams/:id',
    ]);
  });

  test('is all that the server routes to, but for the documents', () => {
    const listed = new Set(inventory.map(nameOf));
    const routed = routesOf(server).filter(
      (route) => !route.startsWith('HEAD ') && !DOCUMENTS.test(route.split(' ')[1] ?? ''),
    );
    expect(routed.filter((route) => !listed.has(route))).toEqual([]);
    expect([...listed].filter((route) => !routed.includes(route))).toEqual([]);
  });

  test('is the OpenAPI document’s: no route undocumented, none documented that is not there', async () => {
    const { status, body } = await server.call('GET', '/openapi.json', { as: null });
    expect(status).toBe(200);
    const documented = Object.entries<object>(body.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
    );
    expect(documented.toSorted()).toEqual(inventory.map(nameOf).toSorted());
  });
});

describe('a route that declares nothing', () => {
  test('stops the start of the whole application, by name', async () => {
    const database = await cloneDatabase();
    const config = loadConfig({
      PORT: '0',
      DATABASE_URL: database.url,
      ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
      LOG_LEVEL: 'silent',
      ROLE: 'api',
    });
    const log = server.app.get(Log);
    @Controller('forgotten')
    class ForgottenController {
      @Get('door')
      open(): string {
        return 'anyone';
      }
    }
    @Module({ imports: [AppModule.with(config, log)], controllers: [ForgottenController] })
    class WithForgottenRoute {}

    const app = await NestFactory.create<NestFastifyApplication>(WithForgottenRoute, createAdapter(config), {
      bodyParser: false,
      logger: false,
      abortOnError: false,
    });
    await expect(configureApp(app)).rejects.toThrow(
      'routes without @Requires or @Public: GET /forgotten/door (ForgottenController.open)',
    );
    await app.close();
    await database.drop();
  });
});

describe('the door of each route', () => {
  test('is closed to HEAD as it is to GET', async () => {
    const closed = inventory.filter(({ method, declaration }) => method === 'GET' && declaration.kind === 'requires');
    const statuses = await Promise.all(
      closed.map(async ({ path }) => (await server.call('HEAD', pathWithIds(path), { as: null })).status),
    );
    expect(statuses).toEqual(closed.map(() => 401));
  });

  test('is not opened by naming another method, or another path, in a header', async () => {
    const headers = {
      'x-http-method-override': 'GET',
      'x-method-override': 'GET',
      'x-original-url': '/health/live',
      'x-rewrite-url': '/health/live',
    };
    const closed = inventory.filter(({ declaration }) => declaration.kind === 'requires');
    const statuses = await Promise.all(
      closed.map(
        async ({ method, path }) => (await server.call(method, pathWithIds(path), { as: null, headers })).status,
      ),
    );
    expect(statuses).toEqual(closed.map(() => 401));
  });

  test('is not there for TRACE, and for no path that merely looks like one', async () => {
    const paths = [
      '/api/v1/tasks/',
      '/API/v1/tasks',
      '/api/v1//tasks',
      '/api/v1/./tasks/../tasks/',
      '/api%2Fv1/tasks',
      '/v1/task;/',
    ];
    for (const path of paths) {
      expect([path, (await server.call('GET', path, { as: null })).status]).toEqual([path, 404]);
    }
    // fetch refuses to send TRACE itself, so the server is asked what it routes.
    expect(routesOf(server).filter((route) => /^(TRACE|CONNECT|PROPFIND)/.test(route))).toEqual([]);
  });
});

describe('the policy', () => {
  const contains = (greater: Role, lesser: Role): boolean =>
    [...POLICY[lesser]].every((action) => POLICY[greater].has(action));

  test('is layered: viewer within member within admin within owner', () => {
    expect([contains('member', 'viewer'), contains('admin', 'member'), contains('owner', 'admin')]).toEqual([
      true,
      true,
      true,
    ]);
    expect([contains('viewer', 'member'), contains('member', 'admin')]).toEqual([false, false]);
  });

  test('gives a viewer nothing that changes anything but their own password', () => {
    expect([...POLICY.viewer].filter((action) => !action.endsWith(':read'))).toEqual(['self:update']);
  });

  test('has worker within admin and owner only, and nothing in worker but its routes and uploads', () => {
    expect(ROLES.filter((role) => role !== 'worker' && contains(role, 'worker'))).toEqual(['owner', 'admin']);
    expect([...POLICY.worker].toSorted()).toEqual(['asset:upload', 'self:read', 'worker:act']);
  });

  test('has no action that no route asks for, and no route asks for one that nobody has', () => {
    const asked = new Set(
      inventory.flatMap(({ declaration }) => (declaration.kind === 'requires' ? [declaration.action] : [])),
    );
    const granted = new Set(ROLES.flatMap((role) => [...POLICY[role]]));
    expect([...asked].filter((action) => !granted.has(action))).toEqual([]);
    expect([...granted].filter((action) => !asked.has(action))).toEqual([]);
  });
});

function nameOf({ method, path }: { method: string; path: string }): string {
  return `${method} ${path}`;
}

function pathWithIds(path: string): string {
  return path.replaceAll(/:\w+/g, '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b10');
}

/** One line a route, in columns, so that a review reads it as a table. */
function table(routes: readonly RouteEntry[]): string {
  const rows = routes.map((route) => [route.method, route.path, surfaceOf(route), ...accessOf(route)]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `\n${lines.join('\n')}\n`;
}

function surfaceOf({ method, path }: RouteEntry): string {
  if (path.startsWith('/v1/')) {
    return 'neocu';
  }
  if (path.startsWith('/api/tasks')) {
    return 'recoupable';
  }
  if (path === '/api/v1/task' || path.startsWith('/api/v1/task/')) {
    return 'nla';
  }
  if (path.startsWith('/api/v1/')) {
    return method === 'GET' && path === '/api/v1/tasks/:id' ? 'native, neo' : 'native';
  }
  return 'operations';
}

function accessOf({ declaration }: RouteEntry): [string, string] {
  if (declaration.kind === 'public') {
    return ['public', `everyone: ${declaration.reason}`];
  }
  const roles = ROLES.filter((role) => POLICY[role].has(declaration.action));
  const operator = declaration.action === 'instance:operate' ? ', who operates the instance' : '';
  const link = declaration.presigned === null ? '' : `, or a link signed for "${declaration.presigned}"`;
  return [declaration.action, `${roles.join(' ')}${operator}${link}`];
}

/** The router's own tree, flattened. */
function routesOf({ app }: TestServer): string[] {
  const routes: string[] = [];
  const parents: string[] = [];
  for (const line of app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false }).split('\n')) {
    const [, indent = '', part = '', methods = ''] = /^([│ ]*)[├└]── (\S*) ?(?:\((.*)\))?$/.exec(line) ?? [];
    if (part === '') {
      continue;
    }
    const depth = indent.length / 4;
    const path = (parents[depth - 1] ?? '') + part;
    parents.splice(depth, parents.length, path);
    routes.push(
      ...methods
        .split(', ')
        .filter(Boolean)
        .map((method) => `${method} ${path}`),
    );
  }
  return routes;
}
