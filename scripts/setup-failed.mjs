/** A failure that a person can mend; `message` is the one sentence that says how. */
export class SetupFailed extends Error {}

/** What to say of a file or folder that the system would not let us write. */
export function cannotWrite(path, error) {
  switch (error.code) {
    case 'EACCES':
    case 'EPERM':
      return new SetupFailed(
        `${path} cannot be written by this user: change its owner, or run as the user who owns it.`,
      );
    case 'EROFS':
      return new SetupFailed(`${path} is on a read-only file system: install and build before making it read-only.`);
    case 'ENOSPC':
      return new SetupFailed(`the disk of ${path} is full: free some space.`);
    default:
      return error;
  }
}
