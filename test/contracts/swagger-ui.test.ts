import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startServer, type TestServer } from '../support/server.js';

const run = promisify(execFile);
const BROWSER = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && existsSync(path));

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => server.stop());

test('Swagger UI is whole: every script, style and picture of the page is served, with its type', async () => {
  const page = await server.call('GET', '/docs', { as: null });
  expect(page.status).toBe(200);
  expect(page.headers.get('content-type')).toMatch(/^text\/html/);
  const parts = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
    ([, path]) => new URL(path ?? '', `${server.url}/docs`),
  );
  expect(parts.length).toBeGreaterThanOrEqual(5);
  for (const part of parts) {
    const reply = await server.call('GET', part.pathname, { as: null });
    expect([part.pathname, reply.status]).toEqual([part.pathname, 200]);
    expect(reply.headers.get('content-type')).toMatch(
      part.pathname.endsWith('.js')
        ? /^(application|text)\/javascript/
        : part.pathname.endsWith('.css')
          ? /^text\/css/
          : /^image\//,
    );
  }
});

test('the policy lets Swagger UI run its own scripts only, and nothing else of the server run any', async () => {
  const policy = (await server.call('GET', '/docs', { as: null })).headers.get('content-security-policy');
  expect(policy).toContain("script-src 'self'");
  expect(policy).not.toContain("script-src 'self' '");
  expect(policy).toContain("frame-ancestors 'none'");
  for (const path of ['/openapi.json', '/health/live', '/docsx', '/api/v1/tasks']) {
    const reply = await server.call('GET', path, { as: null });
    expect([path, reply.headers.get('content-security-policy')]).toEqual([
      path,
      expect.stringMatching(/^default-src 'none'/),
    ]);
    expect([path, reply.headers.get('content-security-policy')]).toEqual([
      path,
      expect.not.stringContaining('script-src'),
    ]);
  }
});

const inBrowser = BROWSER === undefined ? test.skip : test;
inBrowser(
  `Swagger UI draws every operation in a real browser under that policy${BROWSER === undefined ? ' (skipped: no Chromium here; set CHROMIUM to its path)' : ''}`,
  async () => {
    const profile = await mkdtemp(join(tmpdir(), 'taskyard-browser-'));
    try {
      const { stdout, stderr } = await run(
        BROWSER ?? '',
        [
          '--headless=new',
          '--no-sandbox',
          '--disable-gpu',
          '--disable-dev-shm-usage',
          '--no-first-run',
          `--user-data-dir=${profile}`,
          '--enable-logging=stderr',
          '--virtual-time-budget=20000',
          '--dump-dom',
          `${server.url}/docs`,
        ],
        { maxBuffer: 64 * 1024 * 1024, timeout: 50_000 },
      );
      const { body: document } = await server.call('GET', '/openapi.json', { as: null });
      const drawn = new Set([...stdout.matchAll(/id="operations-[^"]*?-([A-Za-z]+)"/g)].map(([, id]) => id));
      const named = Object.values<Record<string, { operationId: string }>>(document.paths).flatMap((item) =>
        Object.values(item).map(({ operationId }) => operationId),
      );
      expect(named.filter((id) => !drawn.has(id))).toEqual([]);
      expect(stderr).not.toMatch(/Content Security Policy|Refused to|Uncaught/);
    } finally {
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    }
  },
);
