import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

/**
 * Names one life of one process, so that a number that was given out again is not taken for its first holder: a digest of the
 * boot and the start time. Null when no such process lives; a zombie (killed, but not yet collected by its parent) counts as
 * dead, since it can hold nothing.
 */
export function processIdentity(pid: number): string | null {
  const birth = process.platform === 'linux' ? birthFromProc(pid) : birthFromPs(pid);
  return birth === null ? null : createHash('sha256').update(birth).digest('hex').slice(0, 16);
}

/** The folder a process works in, null where that cannot be seen. */
export function workingFolderOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}

/** The command line of a process as one text, empty where that cannot be seen. */
export function commandLineOf(pid: number): string {
  try {
    return process.platform === 'linux'
      ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      : ps(pid, 'command=');
  } catch {
    return '';
  }
}

// Fields after the command name, which is in brackets and may hold anything: state is the 3rd of proc_pid_stat(5), start time
// the 22nd.
function birthFromProc(pid: number): string | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') {
    return null;
  }
  // Start times count from boot, so two boots could give the same pair.
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields[19]}`;
}

function birthFromPs(pid: number): string | null {
  try {
    const [state, ...started] = ps(pid, 'stat=,lstart=').trim().split(/\s+/);
    return state === undefined || state.startsWith('Z') ? null : started.join(' ');
  } catch {
    return null;
  }
}

function ps(pid: number, format: string): string {
  return execFileSync('ps', ['-ww', '-o', format, '-p', String(pid)], {
    encoding: 'utf8',
    env: { LC_ALL: 'C', PATH: '/bin:/usr/bin' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
