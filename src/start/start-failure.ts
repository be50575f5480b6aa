import { ConfigError } from '../config/app-config.js';
import { StartRefused } from '../database/embedded/index.js';

/** Errors of reaching a server over the network, by the system's code. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing answers there',
  ECONNRESET: 'it breaks the connection off',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its name cannot be looked up',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
  ENOENT: 'there is no such socket',
};

/** What PostgreSQL says when it lets nobody in: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const TURNED_AWAY: Readonly<Record<string, string>> = {
  '28000': 'it does not take this user',
  '28P01': 'the password is wrong',
  '3D000': 'it has no such database',
  '42501': 'this user may not do what is needed there',
  '53300': 'it has no connection left',
  '57P03': 'it is starting or stopping',
};

export interface StartedWith {
  host: string;
  port: number;
  databaseUrl: string | null;
}

/**
 * A failed start as the one sentence for whoever can mend it, or null where there is no such sentence and the error itself must be
 * shown. Never names a password.
 */
export function startFailure(error: unknown, started: StartedWith | null): string | null {
  if (error instanceof ConfigError || error instanceof StartRefused) {
    return error.message;
  }
  if (started === null) {
    return null;
  }
  const chain = causesOf(error);
  for (const { code, syscall } of chain) {
    const sentence = syscall === 'listen' || syscall === 'bind' ? listening(code, started) : database(code, started);
    if (sentence !== null) {
      return sentence;
    }
  }
  const isTimeout = chain.some(({ message }) =>
    /timeout exceeded when trying to connect|Connection terminated/.test(message),
  );
  return isTimeout && started.databaseUrl !== null ? unreachable(started.databaseUrl, 'it does not answer') : null;
}

function listening(code: string, { host, port }: StartedWith): string | null {
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} on ${host} is taken: stop what uses it or set another PORT.`;
    case 'EACCES':
      return `Port ${port} may not be used by this user: set PORT to 1024 or higher.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EINVAL':
      return `HOST ${host} is no address of this machine: set it to 127.0.0.1 or 0.0.0.0.`;
    default:
      return null;
  }
}

function database(code: string, { databaseUrl }: StartedWith): string | null {
  const why = UNREACHABLE[code] ?? TURNED_AWAY[code];
  return why === undefined || databaseUrl === null ? null : unreachable(databaseUrl, why);
}

function unreachable(databaseUrl: string, why: string): string {
  return `The database at ${placeOf(databaseUrl)} cannot be used: ${why}; check DATABASE_URL.`;
}

function placeOf(databaseUrl: string): string {
  try {
    const url = new URL(databaseUrl);
    return `${url.searchParams.get('host') ?? url.host}${url.pathname}`;
  } catch {
    return 'DATABASE_URL';
  }
}

interface Cause {
  code: string;
  syscall: string;
  message: string;
}

/** The error, what caused it, and the parts of an error made of several (one host, several addresses). */
function causesOf(error: unknown, depth = 0): Cause[] {
  if (!isErrorLike(error) || depth > 5) {
    return [];
  }
  const text = (name: string): string => {
    const value: unknown = Reflect.get(error, name);
    return typeof value === 'string' ? value : '';
  };
  const parts: unknown = Reflect.get(error, 'errors');
  return [
    { code: text('code'), syscall: text('syscall'), message: text('message') },
    ...causesOf(Reflect.get(error, 'cause'), depth + 1),
    ...(Array.isArray(parts) ? parts.flatMap((part) => causesOf(part, depth + 1)) : []),
  ];
}

function isErrorLike(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
