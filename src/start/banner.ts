import { existsSync } from 'node:fs';

export interface BannerInput {
  /** Base of every link, without a trailing slash. */
  url: string;
  isFirstStart: boolean;
  /** The key that this start made; null where the operator chose it, or on a later start. */
  key: string | null;
  /** The file that the key is in; null where this start made none. */
  keyFile: string | null;
  /** Whether a person reads this, and no program keeps it. */
  isTerminal: boolean;
}

/** Container engines keep what a terminal of theirs shows, too. */
const CONTAINER_MARKS = ['/.dockerenv', '/run/.containerenv'];

/** True where the output goes to a person and is not kept as a log. */
export function isPrivateTerminal(): boolean {
  return process.stdout.isTTY && !CONTAINER_MARKS.some((path) => existsSync(path));
}

/**
 * What a person at the terminal reads once the server answers. The key is printed to a terminal only: elsewhere the output is kept, as
 * the log of a container is, and says which file holds the key.
 */
export function banner({ url, isFirstStart, key, keyFile, isTerminal }: BannerInput): string {
  const places = ['', `  Taskyard answers at ${url}`, `  Documentation       ${url}/docs`];
  if (!isFirstStart) {
    return [...places, '', ''].join('\n');
  }
  const source = keyFile === null ? 'the one you set as BOOTSTRAP_API_KEY' : `in the file ${keyFile}`;
  const setup = keyFile === null ? [] : [`  export KEY=$(cat ${quoted(keyFile)})`];
  return [
    ...places,
    `  Your API key        ${key !== null && isTerminal ? `${key}   (also ${source})` : source}`,
    '',
    '  Run a first task:',
    '',
    ...setup,
    `  curl -s ${url}/api/v1/tasks -H 'content-type: application/json' -H "api-key: ${keyFile === null ? '$BOOTSTRAP_API_KEY' : '$KEY'}" \\`,
    `    -d '{"agent": "digest", "prompt": "Tasks are queued. Workers claim them under a lease. Every event is kept."}'`,
    '',
    '',
  ].join('\n');
}

/** For a POSIX shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
