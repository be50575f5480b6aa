/**
 * A program and all that comes of it, started without a shell as the leader of a process group of its own, and ended as a whole.
 *
 * The group takes along children and grandchildren. One that leaves the group (setsid) still carries what it inherited in its
 * environment: on Linux every process is found by a token that only this start was given, in or out of the group. That is certain
 * where a group's number alone is not: numbers are given out again, the token never is.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from '../../../config/agents-file.js';

/** The variable by which a process is known as one of ours. */
export const TOKEN_VARIABLE = 'TASKYARD_PROCESS_TOKEN';

const POLL_INTERVAL_MS = 50;
/** Against what starts anew as fast as it is ended. */
const MAX_KILLS = 40;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

interface StartInput {
  folder: string;
  token: string;
  /** Of the run's secrets, those it finds as variables; the operator's own come before them. */
  secrets: Readonly<Record<string, string>>;
  /** What says which run it is, beside the operator's own variables. */
  variables: Readonly<Record<string, string>>;
}

export class ProcessGroup {
  /** Rejects where the program could not be started. */
  readonly exited: Promise<Exit>;

  private constructor(
    private readonly child: ChildProcessByStdio<Writable, Readable, Readable>,
    private readonly token: string,
  ) {
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    // Awaited late, or never where the run is stopped first.
    this.exited.catch(() => undefined);
    // A program need not read what it is told.
    child.stdin.on('error', () => undefined);
  }

  static start(command: Command, { folder, token, secrets, variables }: StartInput): ProcessGroup {
    const child = spawn(command.program, [...command.args], {
      cwd: folder,
      env: { ...secrets, ...command.env, ...variables, [TOKEN_VARIABLE]: token },
      shell: false,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    return new ProcessGroup(child, token);
  }

  /** The group's number, which is its leader's; null where it never started. */
  get id(): number | null {
    return this.child.pid ?? null;
  }

  get stdout(): Readable {
    return this.child.stdout;
  }

  get stderr(): Readable {
    return this.child.stderr;
  }

  tell(text: string): void {
    this.child.stdin.end(text);
  }

  /** Ends whatever still lives of it: asked to by SIGTERM, made to by SIGKILL after `graceMs`. Resolves when nothing does. */
  async end(graceMs: number): Promise<void> {
    if (this.id !== null) {
      await endGroup(this.id, this.token, graceMs);
    }
  }

  /** Lets go of the pipes, which something beyond reach may still hold. */
  release(): void {
    this.child.stdin.destroy();
    this.child.stdout.destroy();
    this.child.stderr.destroy();
  }
}

/** Ends a group, and everything with the token, as `ProcessGroup.end` does; `group` null where its number is not known for sure. */
export async function endGroup(group: number | null, token: string, graceMs: number): Promise<void> {
  if ((await living(group, token)).length === 0) {
    return;
  }
  await signalAll(group, token, 'SIGTERM');
  for (let waitedMs = 0; waitedMs < graceMs; waitedMs += POLL_INTERVAL_MS) {
    await delay(POLL_INTERVAL_MS);
    if ((await living(group, token)).length === 0) {
      return;
    }
  }
  for (let kills = 0; kills < MAX_KILLS; kills += 1) {
    await signalAll(group, token, 'SIGKILL');
    await delay(POLL_INTERVAL_MS);
    if ((await living(group, token)).length === 0) {
      return;
    }
  }
}

async function signalAll(group: number | null, token: string, signal: NodeJS.Signals): Promise<void> {
  if (group !== null) {
    send(-group, signal);
  }
  for (const process of await living(null, token)) {
    send(process, signal);
  }
}

/** The processes that live of a group and a token; a zombie does not. Elsewhere than on Linux the group alone is looked at, as one. */
async function living(group: number | null, token: string): Promise<number[]> {
  if (process.platform !== 'linux') {
    return group !== null && send(-group, 0) ? [group] : [];
  }
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(numbers.map((number) => isOfOurs(number, group, token)));
  return numbers.flatMap((number, index) => (found[index] === true ? [Number(number)] : []));
}

// Fields after the command name, which is in brackets and may hold anything: proc_pid_stat(5) has the state third, the group fifth.
async function isOfOurs(number: string, group: number | null, token: string): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${number}/stat`, 'utf8');
    const [state, , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === 'Z' || state === 'X') {
      return false;
    }
    if (group !== null && processGroup === String(group)) {
      return true;
    }
    const environment = await readFile(`/proc/${number}/environ`, 'utf8');
    return `\0${environment}`.includes(`\0${TOKEN_VARIABLE}=${token}\0`);
  } catch {
    // Gone meanwhile, or somebody else's.
    return false;
  }
}

function send(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch {
    return false;
  }
}
