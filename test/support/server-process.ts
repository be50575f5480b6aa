import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { builtPath } from './build.js';

/** A server in a process of its own, as `npm start` runs it but from the sources. */
export interface ServerProcess {
  child: ChildProcess;
  /** Base URL; rejects where the process ends before it serves. */
  url: Promise<string>;
  output: () => string;
  /** Exit code; null where a signal ended it. */
  exit: Promise<number | null>;
}

export function startProcess(environment: Readonly<Record<string, string>>): ServerProcess {
  const child = spawn(process.execPath, [builtPath('src/main.ts')], {
    cwd: process.cwd(),
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], PORT: '0', PASSWORD_HASH_COST: '10', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const exit = once(child, 'close').then(() => child.exitCode);
  const url = new Promise<string>((resolve, reject) => {
    const read = (chunk: string): void => {
      text += chunk;
      const base = /answers at (\S+)/.exec(text)?.[1];
      if (base !== undefined) resolve(base);
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    void exit.then((code) => reject(new Error(`the server ended with ${code} before it served: ${text}`)));
  });
  url.catch(() => undefined);
  return { child, url, output: () => text, exit };
}
