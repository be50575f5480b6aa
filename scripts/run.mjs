import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildIfStale } from './build.mjs';
import { installIfMissing } from './install.mjs';
import { stopWithNpm } from './parent-watch.mjs';
import { SetupFailed } from './setup-failed.mjs';
import { withSetupLock } from './setup-lock.mjs';

const PROJECT = join(import.meta.dirname, '..');

/** Sets up and runs `command`; every failure that a person can mend ends in one sentence and exit code 1. */
export async function run(command, args) {
  try {
    // Relative paths (./data, .env) mean the same wherever this was called from.
    process.chdir(PROJECT);
    stopWithNpm();
    switch (command) {
      case 'start':
        return await runInThisProcess('dist/src/main.js', args);
      case 'admin':
        return await runInThisProcess('dist/src/admin.js', args);
      case 'test':
        await setUp();
        return await runTests(args);
      default:
        throw new SetupFailed('say what to do: node scripts/setup.mjs start | test | admin.');
    }
  } catch (error) {
    if (!(error instanceof SetupFailed)) {
      throw error;
    }
    process.stderr.write(`taskyard: ${error.message}\n`);
    process.exitCode = 1;
  }
}

async function setUp() {
  for (const step of [installIfMissing, buildIfStale]) {
    await step(PROJECT, withSetupLock);
  }
}

/**
 * The server runs in this very process: no second one to keep in memory, to pass signals to or to outlive. (A terminal's Ctrl-C
 * arrives twice under npm, once from the terminal and once from npm; the server heeds the first.)
 */
async function runInThisProcess(entry, args) {
  await setUp();
  if (existsSync('.env')) {
    try {
      // What is set already wins over the file.
      process.loadEnvFile('.env');
    } catch (error) {
      throw new SetupFailed(
        `the file ${join(PROJECT, '.env')} cannot be read (${error.code}): make it readable or remove it.`,
      );
    }
  }
  const path = join(PROJECT, entry);
  process.argv = [process.execPath, path, ...args];
  await import(pathToFileURL(path).href);
}

async function runTests(args) {
  const jest = join(PROJECT, 'node_modules/jest/bin/jest.js');
  const child = spawn(
    process.execPath,
    ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', jest, ...args],
    {
      stdio: 'inherit',
    },
  );
  // The terminal sends Ctrl-C to Jest as well; we only wait for it to clean up.
  process.on('SIGINT', () => undefined);
  process.once('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}
