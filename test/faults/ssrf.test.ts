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
