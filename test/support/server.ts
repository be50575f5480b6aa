import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../../src/app.module.js';
import { loadConfig } from '../../src/config/app-config.js';
import { configureApp, createAdapter } from '../../src/configure-app.js';
import { Database } from '../../src/database/database.js';
import { createPino, PinoLog } from '../../src/http/pino-log.js';
import { PreviewProcess } from '../../src/modules/assets/index.js';
import { cloneDatabase } from './databases.js';
import { TestClock } from './test-clock.js';

/** The bootstrap key of every test server: an admin key of the first organisation. */
export const BOOTSTRAP_KEY = 'test_bootstrap_key_0123456789_0123456789';

/** A credential, in any of the ways the pages know; a plain string goes as `Authorization: Bearer`. */
export type Credential =
  string | { header: 'api-key' | 'apikey' | 'x-api-key' | 'authorization'; value: string } | null;

export interface CallOptions {
  as?: Credential;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  status: number;
  headers: Headers;
  /** Parsed JSON, or undefined where the reply was not JSON. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape
  body: any;
  text: string;
}

export interface TestServer {
  url: string;
  app: NestFastifyApplication;
  database: Database;
  databaseUrl: string;
  clock: TestClock;
  /** One request; `body` goes as JSON unless it is text. Without `as`, the bootstrap key; with null, nobody. */
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
  stop(): Promise<void>;
}

/** The whole application in this process, on a free port, over a database of its own. */
export async function startServer(environment: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const database = await cloneDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-server-'));
  const clock = new TestClock();
  const config = loadConfig({
    PORT: '0',
    DATA_DIR: folder,
    DATABASE_URL: database.url,
    DATABASE_POOL_SIZE: '8',
    ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
    BOOTSTRAP_API_KEY: BOOTSTRAP_KEY,
    WRONG_KEYS_PER_ADDRESS: '1000000',
    PASSWORD_HASH_COST: '10',
    LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
    ...environment,
  });
  const log = new PinoLog(createPino(config.logLevel));
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.with(config, log, clock),
    createAdapter(config),
    {
      bodyParser: false,
      logger: log,
      abortOnError: false,
    },
  );
  const { TEST_BUILD: built } = process.env;
  if (built !== undefined) {
    app.get(PreviewProcess).runFrom(join(built, 'src/modules/assets/previews/preview-child.js'));
  }
  const stop = async (): Promise<void> => {
    await app.close();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await configureApp(app);
    await app.listen({ port: 0, host: '127.0.0.1' });
  } catch (error) {
    // What has begun already would go on after the test.
    await stop();
    throw error;
  }
  const url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
  return {
    url,
    app,
    database: app.get(Database),
    databaseUrl: database.url,
    clock,
    call: (method, path, options) => call(url, method, path, options),
    stop,
  };
}

export async function call(url: string, method: string, path: string, options: CallOptions = {}): Promise<Reply> {
  const { as = BOOTSTRAP_KEY, body, headers = {} } = options;
  const response = await fetch(`${url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...credentialHeaders(as),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
    text,
  };
}

export function credentialHeaders(credential: Credential): Record<string, string> {
  if (credential === null) {
    return {};
  }
  return typeof credential === 'string'
    ? { authorization: `Bearer ${credential}` }
    : { [credential.header]: credential.value };
}
