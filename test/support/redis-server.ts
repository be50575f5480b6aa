import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The program there is: Redis or Valkey; null where neither is installed. */
export const REDIS_PROGRAM: string | null =
  ['redis-server', 'valkey-server'].find((name) => spawnSync(name, ['--version']).status === 0) ?? null;

/** A real Redis of the test's own that can be killed and started again on its port. */
export interface RedisServer {
  url: string;
  kill: () => Promise<void>;
  start: () => Promise<void>;
  flush: () => Promise<void>;
  /** It is there, but does not answer. */
  freeze: () => void;
  thaw: () => void;
  close: () => Promise<void>;
}

export async function startRedis(): Promise<RedisServer> {
  const program = REDIS_PROGRAM;
  if (program === null) {
    throw new Error('neither redis-server nor valkey-server is installed');
  }
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await new Promise((resolve) => probe.close(resolve));
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-redis-'));
  let child: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    child = spawn(
      program,
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
      { stdio: 'ignore' },
    );
    await once(child, 'spawn');
    while (!(await say(port, 'PING')).startsWith('+PONG')) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const kill = async (): Promise<void> => {
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    kill,
    flush: async () => {
      await say(port, 'FLUSHALL');
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    close: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One inline command; empty where nobody answers. */
function say(port: number, command: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.setEncoding('utf8');
    socket.on('error', () => resolve(''));
    socket.on('close', () => resolve(''));
    socket.on('data', (text) => {
      resolve(String(text));
      socket.destroy();
    });
    socket.write(`${command}\r\n`);
  });
}
