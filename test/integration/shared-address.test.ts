import { afterEach, describe, expect, it } from '@jest/globals';
import type { AppConfig } from '../../src/config/app-config.js';
import { SharedAddress } from '../../src/http/connections/shared-address.js';
import { Log } from '../../src/kernel/log.js';
import { key } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type Reply, type TestServer } from '../support/server.js';
import { TestClock } from '../support/test-clock.js';

const FORWARDED = { 'x-forwarded-for': '203.0.113.7' };
const HOUR_MS = 3_600_000;

let server: TestServer | null = null;
afterEach(async () => {
  await server?.stop();
  server = null;
});

async function requests(to: TestServer, count: number, headers: Record<string, string>): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    expect((await to.call('GET', '/api/v1/me', { headers })).status).toBe(200);
  }
}

const detail = (to: TestServer, as = BOOTSTRAP_KEY): Promise<Reply> => to.call('GET', '/health/detail', { as });

describe('a proxy that the configuration does not name', () => {
  it('is told of in the health detail, with what to set, to who operates the instance alone', async () => {
    server = await startServer();
    await requests(server, 99, FORWARDED);
    expect((await detail(server)).body).toEqual({ status: 'ok', warnings: [] });
    await requests(server, 100, FORWARDED);
    const { body } = await detail(server);
    expect(body).toEqual({ status: 'ok', warnings: [expect.stringContaining('set TRUST_PROXY=127.0.0.1')] });
    const admin = await key(server, { name: 'reader', role: 'member' });
    expect((await detail(server, admin)).status).toBe(403);
    expect((await server.call('GET', '/health/ready', { as: null })).body).toEqual({ status: 'ok' });
  });

  it('is not suspected where TRUST_PROXY is set, where nobody is forwarded from this machine, nor by strangers', async () => {
    server = await startServer();
    for (let at = 0; at < 110; at += 1) {
      await server.call('GET', '/api/v1/me', { as: null, headers: FORWARDED });
    }
    await requests(server, 110, {});
    expect((await detail(server)).body.warnings).toEqual([]);
    await server.stop();
    server = await startServer({ TRUST_PROXY: '127.0.0.1' });
    await requests(server, 110, { 'x-forwarded-for': '10.0.0.5' });
    expect((await detail(server)).body.warnings).toEqual([]);
  });
});

describe('the address that all requests come from', () => {
  class Warnings extends Log {
    readonly said: string[] = [];
    warn = (message: string): void => void this.said.push(message);
    error = (): void => undefined;
    info = (): void => undefined;
    debug = (): void => undefined;
  }
  const watch = (): {
    log: Warnings;
    clock: TestClock;
    shared: SharedAddress;
    note: (count: number, ip: string) => void;
  } => {
    const [log, clock] = [new Warnings(), new TestClock()];
    const shared = new SharedAddress({ trustProxy: false } as AppConfig, clock, log);
    const note = (count: number, ip: string): void => {
      for (let at = 0; at < count; at += 1) shared.note({ ip, headers: {} });
    };
    return { log, clock, shared, note };
  };

  it('is warned of once an hour where it is private, and not where it is public', () => {
    for (const ip of ['10.0.0.5', '172.18.0.1', '192.168.1.1', '::ffff:10.0.0.5', 'fd00::1']) {
      const { log, clock, note } = watch();
      note(1_000, ip);
      clock.advance(HOUR_MS - 60_000);
      note(1_000, ip);
      expect([ip, log.said.length]).toEqual([ip, 1]);
      clock.advance(60_000);
      note(1, ip);
      expect([ip, log.said.length]).toEqual([ip, 2]);
    }
    const { log, note } = watch();
    note(1_000, '203.0.113.9');
    note(1_000, '2606:4700::1');
    note(1_000, '127.0.0.1');
    expect(log.said).toEqual([]);
  });

  it('is forgotten with the first request from another, and after an hour without any', () => {
    const { shared, clock, note } = watch();
    note(100, '10.0.0.5');
    expect(shared.warning).toContain('TRUST_PROXY=10.0.0.5');
    note(1, '10.0.0.6');
    expect(shared.warning).toBeNull();
    note(100, '10.0.0.5');
    expect(shared.warning).not.toBeNull();
    clock.advance(HOUR_MS);
    expect(shared.warning).toBeNull();
    note(99, '10.0.0.5');
    expect(shared.warning).toBeNull();
  });
});
