import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { hasBrowser, NO_BROWSER, openBrowser } from '../support/browser.js';
import { startServer, type TestServer } from '../support/server.js';

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

(hasBrowser ? test : test.skip)(
  `Swagger UI draws every operation in a real browser under that policy${NO_BROWSER}`,
  async () => {
    const { body: document } = await server.call('GET', '/openapi.json', { as: null });
    const named = Object.values<Record<string, { operationId: string }>>(document.paths).flatMap((item) =>
      Object.values(item).map(({ operationId }) => operationId),
    );
    const browser = await openBrowser();
    try {
      // It draws what is in sight, so all of it is.
      const page = await browser.newPage({ viewport: { width: 1280, height: 30_000 } });
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('console', (said) => {
        if (said.type() === 'error') complaints.push(said.text());
      });
      await page.goto(`${server.url}/docs`);
      await page
        .locator('.opblock')
        .nth(named.length - 1)
        .waitFor({ state: 'attached', timeout: 40_000 });
      const drawn = await page.locator('.opblock').evaluateAll((blocks) => blocks.map(({ id }) => id));
      expect(named.filter((id) => !drawn.some((block) => block.endsWith(`-${id}`)))).toEqual([]);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  },
  120_000,
);
