/** The short form; `npm run soak -- ssrf` tries it all many times over. */
import { expect, test } from '@jest/globals';
import { trySsrf } from './egress/ssrf.js';

test('no hostile URL, name that changes its mind, or redirect makes the server call loopback: the canary sees nothing', async () => {
  const report = await trySsrf(1);
  expect(report).toMatchObject({ seen: 0, wrong: [] });
  // Else nothing would have been proved: enough was tried, names were asked for, and what may be called was.
  expect(report.urls).toBeGreaterThanOrEqual(275);
  expect(report.urls + report.names + report.redirects).toBeGreaterThanOrEqual(300);
  expect(report.permitted).toBeGreaterThan(3);
  expect(report.questions).toBeGreaterThan(100);
}, 300_000);

test('the canary can see: under a guard that is broken on purpose, URLs, names and redirects reach it, and the report says so', async () => {
  const report = await trySsrf(1, 'broken');
  expect(report.seen).toBe(report.seenBy.urls + report.seenBy.names + report.seenBy.redirects);
  // Numerals and spellings of loopback; names at first or once they have changed their mind; a redirect of each status.
  expect(report.seenBy.urls).toBeGreaterThan(20);
  expect(report.seenBy.names).toBeGreaterThan(5);
  expect(report.seenBy.redirects).toBeGreaterThanOrEqual(5);
  expect(report.wrong.length).toBeGreaterThan(20);
}, 300_000);
