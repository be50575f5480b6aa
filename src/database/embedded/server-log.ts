import { chown, copyFile, open, stat, truncate, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterHome } from './cluster-home.js';
import { systemErrorCode } from './start-refused.js';

const LIMIT_BYTES = 4 * 1024 * 1024;
const TAIL_BYTES = 16 * 1024;

/** The database server's own log, a file of bounded size with one predecessor (`server.log.1`). */
export class ServerLog {
  readonly path: string;
  readonly #home: ClusterHome;

  constructor(home: ClusterHome) {
    this.path = join(home.path, 'server.log');
    this.#home = home;
  }

  /** A handle for the server to append to; close it once the server has inherited it. */
  async openForServer(): Promise<{ file: FileHandle; startByte: number }> {
    await this.bound();
    const file = await open(this.path, 'a', 0o600);
    if (this.#home.user !== null) {
      await file.chown(this.#home.user.uid, this.#home.user.gid);
    }
    return { file, startByte: (await file.stat()).size };
  }

  /** Keeps the file within its limit. The server holds it open to append, so it is copied and emptied, not renamed. */
  async bound(): Promise<void> {
    try {
      if ((await stat(this.path)).size > LIMIT_BYTES) {
        await copyFile(this.path, `${this.path}.1`);
        if (this.#home.user !== null) {
          await chown(`${this.path}.1`, this.#home.user.uid, this.#home.user.gid);
        }
        await truncate(this.path, 0);
      }
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') {
        throw error;
      }
    }
  }

  /** The last thing the server complained of since that byte, null where it said nothing fatal. */
  async lastComplaint(startByte: number): Promise<string | null> {
    const file = await open(this.path, 'r');
    try {
      const { size } = await file.stat();
      const from = Math.max(startByte, size - TAIL_BYTES);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(0, size - from)), 0, null, from);
      const lines = buffer.subarray(0, bytesRead).toString('utf8').split('\n');
      const last = lines.findLast((line) => /(FATAL|PANIC):|error while loading/.test(line));
      return last?.replace(/^.*?(FATAL|PANIC): +/, '') ?? null;
    } finally {
      await file.close();
    }
  }
}
