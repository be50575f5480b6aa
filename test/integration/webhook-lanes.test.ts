import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { unsafelySystemScope } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import {
  DispatchRepository,
  type LeasedEndpointQueue,
} from '../../src/modules/webhooks/dispatch/dispatch.repository.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

test('the lease of a receiver is one dispatcher’s: another has it once it ran out, and the first writes down no more', async () => {
  const dispatch = server.app.get(DispatchRepository);
  const { id: organizationId } = (await server.call('GET', '/api/v1/organization')).body;
  const scope = unsafelySystemScope(organizationId, 'as a dispatcher');
  const standing = { failures: 0, hasSucceeded: true, pauseSeconds: 0 };
  const lane = { organizationId, laneId: newId() };
  const [first] = (await dispatch.lease([lane])) as [LeasedEndpointQueue];
  expect(await dispatch.lease([lane])).toEqual([]);
  expect(await dispatch.record(scope, first, [], standing, false)).toBe(true);
  await server.database.execute(
    sql`update delivery_lanes set leased_until = clock_timestamp() - interval '1 ms' where lane_id = ${lane.laneId}`,
  );
  // Its time is over, whether or not anybody else has come.
  expect(await dispatch.record(scope, first, [], standing, false)).toBe(false);
  const [second] = (await dispatch.lease([lane])) as [LeasedEndpointQueue];
  expect(Number(second.fence)).toBeGreaterThan(Number(first.fence));
  expect(await dispatch.record(scope, first, [], standing, false)).toBe(false);
  expect(await dispatch.record(scope, second, [], standing, true)).toBe(true);
});
