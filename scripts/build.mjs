import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cannotWrite, SetupFailed } from './setup-failed.mjs';

/** What the build is made from; by content, since a checkout touches files without changing them. */
const FOLDERS = ['src', 'migrations'];
const FILES = ['package-lock.json', 'nest-cli.json', '.swcrc', 'tsconfig.json'];

/** Builds `dist` where it was made from anything but the present sources. */
export async function buildIfStale(project, withLock) {
  if (isFresh(project)) {
    return;
  }
  await withLock(project, async () => {
    if (isFresh(project)) {
      return;
    }
    process.stderr.write('Building.\n');
    // Taken before, so that a change during the build makes the result stale.
    const made = digestOfSources(project);
    await build(project);
    try {
      writeFileSync(stampPath(project), made);
    } catch (error) {
      throw cannotWrite(stampPath(project), error);
    }
  });
}

function stampPath(project) {
  // In the folder itself, which the build empties first: a build that was killed leaves no stamp.
  return join(project, 'dist/.built-from');
}

function isFresh(project) {
  return existsSync(stampPath(project)) && readFileSync(stampPath(project), 'utf8') === digestOfSources(project);
}

function digestOfSources(project) {
  const nested = FOLDERS.flatMap((folder) =>
    readdirSync(join(project, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|js|json|css)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  ).sort();
  const hash = createHash('sha256');
  for (const path of [...nested, ...FILES.map((file) => join(project, file))]) {
    const content = readFileSync(path);
    hash.update(`${path.slice(project.length)} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

async function build(project) {
  const nest = join(project, 'node_modules/@nestjs/cli/bin/nest.js');
  const child = spawn(process.execPath, [nest, 'build'], { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    process.stderr.write(output);
    throw new SetupFailed('the build failed; what the compiler said is above.');
  }
}
