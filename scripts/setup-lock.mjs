/**
 * One set-up of a clone at a time: two `npm start` at once would otherwise install into the same folder.
 *
 * A claim is an empty file named after its process and the start of that process's life, so that the claim of a killed process is
 * recognised, even when its number was given out again. Write your claim, then look: without another living claim the lock is
 * yours; otherwise withdraw, wait a random moment, try again. Of two at once at least one sees the other.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cannotWrite } from './setup-failed.mjs';

/** Runs `work` while no other living process runs its own on the same project, however long that takes. */
export async function withSetupLock(project, work) {
  const folder = join(project, '.setup');
  const name = `${process.pid}-${lifeOf(process.pid)}`;
  const claim = join(folder, name);
  const withdraw = () => rmSync(claim, { force: true });
  let told = false;
  for (;;) {
    try {
      mkdirSync(folder, { recursive: true });
      writeFileSync(claim, '');
    } catch (error) {
      throw cannotWrite(folder, error);
    }
    const rival = livingRival(folder, name);
    if (rival === null) {
      break;
    }
    withdraw();
    if (!told) {
      process.stderr.write(`Waiting for process ${rival}, which is setting this folder up.\n`);
      told = true;
    }
    await delay(100 + Math.random() * 300);
  }
  try {
    return await work();
  } finally {
    withdraw();
  }
}

function livingRival(folder, ownName) {
  for (const name of readdirSync(folder)) {
    const [, pid, life] = /^(\d+)-(\w+)$/.exec(name) ?? [];
    if (pid === undefined || name === ownName) {
      continue;
    }
    if (lifeOf(Number(pid)) === life) {
      return pid;
    }
    rmSync(join(folder, name), { force: true });
  }
  return null;
}

/** When that process began, as one word; null where none lives. */
function lifeOf(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // After the command name, which is in brackets: state first, start time twentieth.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? null : fields[19];
    }
    if (process.platform === 'win32') {
      process.kill(pid, 0);
      return 'alive';
    }
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    });
    return started.replace(/\W+/g, '');
  } catch {
    return null;
  }
}
