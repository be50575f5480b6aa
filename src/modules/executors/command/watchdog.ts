/**
 * Ends programs whose server is gone. A server that is killed outright can end nothing itself, and its runs are given to others a lease
 * later: what it started must not go on beside them. So a small process, one for all programs of a server, holds a pipe from it. It
 * is told of each group that starts and ends; when the pipe closes, it ends what is left, by SIGTERM and five seconds later SIGKILL.
 *
 * It is in a session of its own, so that a signal to the terminal's group does not reach it first. Should it be killed, the next
 * program's start brings a new one, and what both leave behind is found when a server starts (`work-folders.ts`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { TOKEN_VARIABLE } from './process-group.js';

/** Given to Node as text: it must run the same from sources, from a build, and without either on its path. */
const PROGRAM = `
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
const groups = new Map();
const send = (target, signal) => { try { process.kill(target, signal); } catch {} };
const strays = () => {
  if (process.platform !== 'linux') return [];
  const tokens = [...groups.values()].map((token) => '\\0${TOKEN_VARIABLE}=' + token + '\\0');
  return readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).filter((name) => {
    try {
      const environment = '\\0' + readFileSync('/proc/' + name + '/environ', 'utf8');
      return tokens.some((token) => environment.includes(token));
    } catch { return false; }
  }).map(Number);
};
const all = (signal) => {
  for (const group of groups.keys()) send(-group, signal);
  for (const stray of strays()) send(stray, signal);
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const [what, group, token] = line.split(' ');
  if (what === 'add') groups.set(Number(group), token); else groups.delete(Number(group));
}).on('close', () => {
  if (groups.size === 0) process.exit(0);
  all('SIGTERM');
  setTimeout(() => { all('SIGKILL'); process.exit(0); }, 5000);
});
`;

export class Watchdog {
  readonly #groups = new Map<number, string>();
  #process: ChildProcess | null = null;

  add(group: number, token: string): void {
    this.#groups.set(group, token);
    if (this.#process === null) {
      this.#start();
    } else {
      this.#tell(`add ${group} ${token}`);
    }
  }

  remove(group: number): void {
    if (this.#groups.delete(group)) {
      this.#tell(`remove ${group}`);
    }
  }

  /** Lets it end; it ends what it still knows of. */
  stop(): void {
    this.#process?.stdin?.end();
    this.#process = null;
  }

  #start(): void {
    const started = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM], {
      detached: true,
      env: {},
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const gone = (): void => {
      if (this.#process === started) {
        this.#process = null;
      }
    };
    started.once('exit', gone).once('error', gone);
    started.stdin.on('error', gone);
    started.unref();
    this.#process = started;
    for (const [group, token] of this.#groups) {
      this.#tell(`add ${group} ${token}`);
    }
  }

  #tell(line: string): void {
    this.#process?.stdin?.write(`${line}\n`);
  }
}
