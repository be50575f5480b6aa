import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cannotWrite, SetupFailed } from './setup-failed.mjs';

/** Why npm could not reach its registry, in the codes of Node and npm. */
const UNREACHABLE =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|UNABLE_TO_[A-Z_]+|SELF_SIGNED_[A-Z_]+|CERT_[A-Z_]+)\b/;

/** Installs the packages that `package-lock.json` names where `node_modules` does not hold exactly those. */
export async function installIfMissing(project, withLock) {
  if (isInstalled(project)) {
    return;
  }
  await withLock(project, async () => {
    if (isInstalled(project)) {
      return;
    }
    process.stderr.write('Installing packages with npm, which takes a minute the first time.\n');
    await install(project);
    writeStamp(project);
  });
}

function stampPath(project) {
  return join(project, 'node_modules/.taskyard-installed');
}

function isInstalled(project) {
  const wanted = readIfPresent(join(project, 'package-lock.json'));
  if (wanted === null) {
    throw new SetupFailed(`${join(project, 'package-lock.json')} is missing: clone the project again.`);
  }
  if (readIfPresent(stampPath(project)) === digest(wanted)) {
    return true;
  }
  // Somebody ran npm themselves: the list it leaves behind, last of all, says what is there.
  const present = readIfPresent(join(project, 'node_modules/.package-lock.json'));
  if (present === null || !holdsAll(JSON.parse(wanted).packages, JSON.parse(present).packages)) {
    return false;
  }
  writeStamp(project);
  return true;
}

function holdsAll(wanted, present) {
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    const found = present[path];
    // Optional packages are for other platforms, most of them.
    return path === '' || (found === undefined ? optional === true : found.version === version);
  });
}

function writeStamp(project) {
  try {
    writeFileSync(stampPath(project), digest(readIfPresent(join(project, 'package-lock.json'))));
  } catch (error) {
    // It only saves time: a read-only installation that is complete is as good.
    if (error.code !== 'EACCES' && error.code !== 'EROFS' && error.code !== 'EPERM') {
      throw cannotWrite(stampPath(project), error);
    }
  }
}

/** Packages differ by platform, so a folder copied from another machine is installed anew. */
function digest(lock) {
  return createHash('sha256').update(`${process.platform} ${process.arch}\n${lock}`).digest('hex');
}

function readIfPresent(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') {
      return null;
    }
    throw new SetupFailed(`${path} cannot be read (${error.code}): make it readable for this user.`);
  }
}

async function install(project) {
  const { code, complaint } = await npm(project, ['ci']);
  if (code === 0) {
    return;
  }
  // `npm ci` refuses a lock file that lacks a package for any platform at all, which is what npm writes where the registry did not
  // have that package. The versions it does name hold just the same.
  const retry = /code EUSAGE/.test(complaint) ? await npm(project, ['install', '--no-save']) : { code, complaint };
  if (retry.code !== 0) {
    throw explain(project, retry.complaint);
  }
}

async function npm(project, command) {
  // The very npm that runs us, where one does.
  const cli = process.env.npm_execpath;
  const [program, first] = cli?.endsWith('.js') ? [process.execPath, [cli]] : ['npm', []];
  // Development packages too, whatever NODE_ENV says: the build needs them.
  const args = [...first, ...command, '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const child = spawn(program, args, {
    cwd: project,
    stdio: ['ignore', 'ignore', 'pipe'],
    shell: process.platform === 'win32',
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaint = (complaint + text).slice(-20_000);
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new SetupFailed(`npm cannot be run (${error.code}): install npm, which comes with Node.`)),
    );
    child.once('close', resolve);
  });
  return { code, complaint };
}

function explain(project, complaint) {
  const unreachable = UNREACHABLE.exec(complaint);
  if (unreachable !== null) {
    return new SetupFailed(
      `the npm registry cannot be reached (${unreachable[1]}): connect to the network, or name a reachable one with npm config set registry, and start again.`,
    );
  }
  const [, code] = /npm (?:error|ERR!) code (\w+)/.exec(complaint) ?? [];
  if (['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(code)) {
    return cannotWrite(join(project, 'node_modules'), { code });
  }
  process.stderr.write(complaint);
  return new SetupFailed('npm could not install the packages; what it said is above.');
}
