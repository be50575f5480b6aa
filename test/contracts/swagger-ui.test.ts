import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { hasBrowser, NO_BROWSER, openBrowser } from '../support/browser.js';
import type { Page } from 'playwright-core';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

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

test('the document and the scripts of Swagger UI are compressed, and sent again only where they have changed', async () => {
  for (const path of ['/openapi.json', '/docs/openapi.json', '/docs/swagger-ui-bundle.js']) {
    const first = await server.call('GET', path, { as: null, headers: { 'accept-encoding': 'gzip' } });
    const etag = first.headers.get('etag');
    expect([path, first.status, first.headers.get('content-encoding')]).toEqual([path, 200, 'gzip']);
    expect(first.headers.get('cache-control')).toMatch(/no-cache|max-age=0/);
    const again = await server.call('GET', path, {
      as: null,
      headers: { 'if-none-match': etag ?? '', 'cache-control': 'max-age=0' },
    });
    expect([path, again.status, again.text]).toEqual([path, 304, '']);
  }
});

test('the script that starts Swagger UI does not carry the document, which it loads from its own origin', async () => {
  const script = await server.call('GET', '/docs/swagger-ui-init.js', { as: null });
  expect(script.text.length).toBeLessThan(4096);
  const { body } = await server.call('GET', '/docs/openapi.json', { as: null });
  expect(body.servers).toEqual([{ url: '/' }]);
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

(hasBrowser ? test : test.skip)(
  `Swagger UI runs routes with "Execute": examples as they are, and the authorization survives a reload${NO_BROWSER}`,
  async () => {
    const browser = await openBrowser();
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 30_000 } });
      page.setDefaultTimeout(60_000);
      await page.goto(`${server.url}/docs`);
      await page.locator('.auth-wrapper .authorize').click();
      const bearer = page.locator('.auth-container', { hasText: 'bearer' }).first();
      await bearer.locator('input').fill(BOOTSTRAP_KEY);
      await bearer.locator('button.authorize').click();
      await page.reload();

      const task = await executeInSwaggerUi(page, 'tasksCreate');
      const tried = [task];
      for (const operation of EXECUTED_AS_GIVEN) tried.push(await executeInSwaggerUi(page, operation));
      const values = { task_id: task.body.task.id };
      tried.push(await executeInSwaggerUi(page, 'tasksGet', { values: { id: values.task_id } }));
      tried.push(await executeInSwaggerUi(page, 'uploadsUploadForm', { values, file: 'notes.txt' }));
      expect(tried.map(({ operation, status, body }) => [operation, status < 300 ? 'ok' : [status, body]])).toEqual(
        tried.map(({ operation }) => [operation, 'ok']),
      );
      expect(tried.length).toBeGreaterThanOrEqual(10);
    } finally {
      await browser.close();
    }
  },
  300_000,
);

/** Operations of several kinds whose examples need nothing that a fresh server lacks. */
const EXECUTED_AS_GIVEN = [
  'taskBatchCreate',
  'tasksList',
  'usersCreate',
  'apiKeysCreate',
  'agentsCreate',
  'schedulesPreview',
  'webhooksCreate',
];

interface Executed {
  operation: string;
  status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- replies of every shape
  body: any;
}

/** Opens the operation, presses "Try it out", fills in `values` and `file`, presses "Execute", and reads the reply. */
async function executeInSwaggerUi(
  page: Page,
  operation: string,
  { values = {}, file }: { values?: Readonly<Record<string, string>>; file?: string } = {},
): Promise<Executed> {
  const block = page.locator(`.opblock[id$="-${operation}"]`);
  await block.locator('.opblock-summary-control').click();
  await block.locator('button.try-out__btn').click();
  for (const [name, value] of Object.entries(values)) {
    await block
      .locator(`tr[data-property-name="${name}"] input, tr[data-param-name="${name}"] input`)
      .first()
      .fill(value);
  }
  if (file !== undefined) {
    const upload = { name: file, mimeType: 'text/plain', buffer: Buffer.from('Some notes.') };
    await block.locator('input[type=file]').setInputFiles(upload);
  }
  const replied = page.waitForResponse(
    (reply) => reply.request().method() !== 'OPTIONS' && reply.url().startsWith(server.url),
  );
  await block.locator('button.execute').click();
  const reply = await replied;
  // Closed again: what is below the window is not drawn.
  await block.locator('.opblock-summary-control').click();
  return { operation, status: reply.status(), body: await reply.json() };
}
