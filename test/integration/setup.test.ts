import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

const PROJECT = join(import.meta.dirname, '../..');

/**
 * A small project with our set-up scripts. npm is the real one; the compiler is a stand-in that copies and counts, so that a case
 * takes moments and no network.
 */
const COMPILER = `
import { appendFileSync, cpSync, readFileSync, rmSync } from 'node:fs';
appendFileSync('builds.log', 'built\\n');
rmSync('dist', { recursive: true, force: true });
if (readFileSync('src/main.ts', 'utf8').includes('SYNTAX ERROR')) {
  console.error('src/main.ts: Expression expected');
  process.exit(1);
}
for (const name of ['main', 'admin']) cpSync('src/' + name + '.ts', 'dist/src/' + name + '.js');
`;
const MAIN = `
console.log(JSON.stringify({ greeting: process.env.GREETING, port: process.env.PORT, cwd: process.cwd() }));
`;
const ADMIN = `
console.log(JSON.stringify(process.argv.slice(2)));
process.exitCode = 7;
`;

let project: string;
let children: ChildProcessByStdio<null, Readable, Readable>[];

function write(path: string, content: string | object): void {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), typeof content === 'string' ? content : JSON.stringify(content, null, 2));
}

function writeLock(extra: object = {}): void {
  write('package-lock.json', {
    name: 'small',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': {
        name: 'small',
        version: '1.0.0',
        dependencies: { '@nestjs/cli': 'file:vendor/cli', ...dependencyNames(extra) },
      },
      'node_modules/@nestjs/cli': { resolved: 'vendor/cli', link: true },
      'vendor/cli': { version: '1.0.0' },
      ...extra,
    },
  });
}

function dependencyNames(packages: object): Record<string, string> {
  return Object.fromEntries(Object.keys(packages).map((path) => [path.replace('node_modules/', ''), '1.0.0']));
}

function start(
  args: string[],
  options: { env?: NodeJS.ProcessEnv; nodeArgs?: string[] } = {},
): ChildProcessByStdio<null, Readable, Readable> {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), join(project, 'scripts/setup.mjs'), ...args], {
    cwd: tmpdir(),
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], npm_config_fetch_retries: '0', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  return child;
}

async function setup(
  args: string[],
  options: { env?: NodeJS.ProcessEnv; nodeArgs?: string[] } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = start(args, options);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: code as number, stdout, stderr };
}

function builds(): number {
  const log = join(project, 'builds.log');
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0;
}

beforeEach(() => {
  children = [];
  project = mkdtempSync(join(tmpdir(), 'setup-test-'));
  cpSync(join(PROJECT, 'scripts'), join(project, 'scripts'), { recursive: true });
  write('package.json', {
    name: 'small',
    version: '1.0.0',
    type: 'module',
    dependencies: { '@nestjs/cli': 'file:vendor/cli' },
  });
  write('vendor/cli/package.json', { name: '@nestjs/cli', version: '1.0.0', type: 'module' });
  write('vendor/cli/bin/nest.js', COMPILER);
  write('src/main.ts', MAIN);
  write('src/admin.ts', ADMIN);
  write('migrations/1-first.ts', '');
  for (const path of ['nest-cli.json', '.swcrc', 'tsconfig.json']) {
    write(path, '{}');
  }
  writeLock();
});

afterEach(() => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
  rmSync(project, { recursive: true, force: true });
});

describe('the set-up of a clone', () => {
  it('installs and builds the first time, and changes nothing the second', async () => {
    const first = await setup(['start']);
    expect(first.stderr).toBe('Installing packages with npm, which takes a minute the first time.\nBuilding.\n');
    expect(JSON.parse(first.stdout)).toMatchObject({ cwd: project });
    write('node_modules/.witness', '');
    const second = await setup(['start']);
    expect(second).toEqual({ code: 0, stdout: first.stdout, stderr: '' });
    expect(builds()).toBe(1);
    expect(existsSync(join(project, 'node_modules/.witness'))).toBe(true);
  });

  it('builds again after a change of a source or a migration, and installs again after a change of the lock file', async () => {
    await setup(['start']);
    appendFileSync(join(project, 'migrations/1-first.ts'), '// changed\n');
    expect((await setup(['start'])).stderr).toBe('Building.\n');
    write('node_modules/.witness', '');
    write('vendor/other/package.json', { name: 'other', version: '1.0.0' });
    write('package.json', {
      ...JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')),
      dependencies: { '@nestjs/cli': 'file:vendor/cli', other: 'file:vendor/other' },
    });
    const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8'));
    lock.packages[''].dependencies.other = 'file:vendor/other';
    lock.packages['node_modules/other'] = { resolved: 'vendor/other', link: true };
    lock.packages['vendor/other'] = { version: '1.0.0' };
    write('package-lock.json', lock);
    expect((await setup(['start'])).stderr).toMatch(/^Installing packages/);
    expect(existsSync(join(project, 'node_modules/.witness'))).toBe(false);
  });

  it('believes an installation that somebody made with npm themselves', async () => {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: project, stdio: 'ignore' });
    expect((await setup(['start'])).stderr).toBe('Building.\n');
  });

  it('is done once, where two start at the same moment', async () => {
    const both = await Promise.all([setup(['start']), setup(['start'])]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(builds()).toBe(1);
    expect(both.filter(({ stderr }) => stderr.includes('Installing'))).toHaveLength(1);
  });

  it('is not held up by the claim of a process that was killed', async () => {
    write('.setup/1-999999999999', '');
    expect((await setup(['start'])).code).toBe(0);
    expect(existsSync(join(project, '.setup/1-999999999999'))).toBe(false);
  });

  it('installs with a lock file that lacks packages of other platforms', async () => {
    const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8'));
    delete lock.packages['node_modules/@nestjs/cli'];
    delete lock.packages['vendor/cli'];
    write('package-lock.json', lock);
    const { code } = await setup(['start']);
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8'))).toEqual(lock);
  });
});

describe('what is run', () => {
  it('gets its arguments, and its exit code is the exit code', async () => {
    const { code, stdout } = await setup(['admin', 'create-key', '--role', 'a b']);
    expect({ code, stdout: JSON.parse(stdout) }).toEqual({ code: 7, stdout: ['create-key', '--role', 'a b'] });
  });

  it('gets the variables of .env, where the environment does not say otherwise', async () => {
    write('.env', 'GREETING=hello\nPORT=1\n');
    const { stdout } = await setup(['start'], { env: { PORT: '2' } });
    expect(JSON.parse(stdout)).toMatchObject({ greeting: 'hello', port: '2' });
  });

  it('gets the signals itself', async () => {
    write(
      'src/main.ts',
      "process.on('SIGTERM', () => process.exit(9));\nsetInterval(() => {}, 1e6);\nconsole.log('up');",
    );
    const child = start(['start']);
    const [up] = await once(child.stdout, 'data');
    expect(String(up)).toBe('up\n');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([9, null]);
  });
});

describe('a set-up that cannot be done', () => {
  it('says that Node is too old', async () => {
    const pretend = "Object.defineProperty(process,'versions',{value:{...process.versions,node:'18.20.4'}})";
    const { code, stderr } = await setup(['start'], {
      nodeArgs: ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`],
    });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'taskyard: Node 18.20.4 is too old: install Node 20.19 or newer.\n',
    });
  });

  it('says that the npm registry cannot be reached', async () => {
    writeLock({ 'node_modules/absent-from-every-cache': { version: '1.0.0' } });
    write('package.json', {
      name: 'small',
      version: '1.0.0',
      type: 'module',
      dependencies: { '@nestjs/cli': 'file:vendor/cli', 'absent-from-every-cache': '1.0.0' },
    });
    const { code, stderr } = await setup(['start'], {
      env: { npm_config_registry: 'http://127.0.0.1:1/', npm_config_cache: join(project, 'cache') },
    });
    expect(code).toBe(1);
    expect(stderr.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^taskyard: the npm registry cannot be reached \(ECONNREFUSED\): [^\n]+\.$/),
      '',
    ]);
  });

  it('says that the build failed, below what the compiler said, and builds again the next time', async () => {
    write('src/main.ts', 'SYNTAX ERROR');
    const { code, stderr } = await setup(['start']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Expression expected\ntaskyard: the build failed[^\n]+\n$/);
    write('src/main.ts', MAIN);
    expect((await setup(['start'])).code).toBe(0);
  });

  it('says that the lock file is missing, and what can be done at all', async () => {
    expect((await setup(['dance'])).stderr).toMatch(/^taskyard: [^\n]+start \| test \| admin\.\n$/);
    rmSync(join(project, 'package-lock.json'));
    expect((await setup(['start'])).stderr).toMatch(/^taskyard: [^\n]*package-lock\.json is missing[^\n]+\n$/);
  });
});

describe('a server that npm started', () => {
  const SERVER = `
    import { writeFileSync } from 'node:fs';
    setInterval(() => {}, 1_000);
    process.on('SIGTERM', () => {
      writeFileSync('stopped', '');
      process.exit(0);
    });
    console.log('started');
  `;

  /** Starts it with the script that this project's package.json has. */
  async function npmStart(): Promise<ChildProcessByStdio<null, Readable, Readable>> {
    const { scripts } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as {
      scripts: { start: string };
    };
    const dependencies = { '@nestjs/cli': 'file:vendor/cli' };
    write('package.json', {
      name: 'small',
      version: '1.0.0',
      type: 'module',
      dependencies,
      scripts: { start: scripts.start },
    });
    write('src/main.ts', SERVER);
    const npm = spawn('npm', ['start'], {
      cwd: project,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(npm);
    let output = '';
    for await (const chunk of npm.stdout.iterator({ destroyOnReturn: false })) {
      output += String(chunk);
      if (output.includes('started')) {
        return npm;
      }
    }
    throw new Error(`the server did not start: ${output}`);
  }

  it.each(['SIGTERM', 'SIGKILL'] as const)('stops in order when npm is ended by %s', async (signal) => {
    const npm = await npmStart();
    npm.kill(signal);
    // The server holds the other end of npm's output until it ends.
    await text(npm.stdout);
    expect(existsSync(join(project, 'stopped'))).toBe(true);
  });
});

describe('the lock file of this project', () => {
  it('names every optional package of every platform, without which npm ci refuses', () => {
    const { packages } = JSON.parse(readFileSync(join(PROJECT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const named = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, '')));
    const wanted = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
    expect(wanted.filter((name) => !named.has(name))).toEqual([]);
  });
});
