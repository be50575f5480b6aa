/** The server cannot start for a reason its operator can mend; `message` is the one sentence that says what and how. */
export class StartRefused extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartRefused';
  }
}

/**
 * The `code` of a system error (`ENOENT` …), null for anything else. By its shape and not by `instanceof`: a test runner gives
 * modules globals of their own, and Node's errors are not of those.
 */
export function systemErrorCode(error: unknown): string | null {
  return textOf(error, 'code');
}

/** A field of an error, null where it has none that is a text. */
export function textOf(error: unknown, field: 'code' | 'message' | 'stderr'): string | null {
  const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, field) : null;
  return typeof value === 'string' ? value : null;
}

/** Turns what the file system said about a folder or file into one sentence; an error with no such sentence comes back as it is. */
export function refusalForFolder(path: string, error: unknown): unknown {
  switch (systemErrorCode(error)) {
    case 'EACCES':
    case 'EPERM':
      return new StartRefused(
        `The data folder cannot be used: ${path} is not readable and writable by this user (uid ${process.getuid?.() ?? 'unknown'}); change its owner or set another DATA_DIR.`,
        { cause: error },
      );
    case 'EROFS':
      return new StartRefused(
        `The data folder cannot be used: ${path} is on a read-only file system; set another DATA_DIR.`,
        {
          cause: error,
        },
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartRefused(`The data folder cannot be used: ${path} is not a folder; set another DATA_DIR.`, {
        cause: error,
      });
    case 'ENOSPC':
    case 'EDQUOT':
      return new StartRefused(`The data folder cannot be used: the disk of ${path} is full; free some space.`, {
        cause: error,
      });
    default:
      return error;
  }
}
