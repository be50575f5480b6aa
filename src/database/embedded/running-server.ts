import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import { OWNER_NAME } from './cluster.js';
import { readPostmasterFile } from './postmaster-file.js';
import { refusalForFolder, systemErrorCode } from './start-refused.js';

const CONNECT_MS = 3_000;

/**
 * The URL of the embedded database that some other process runs on this data folder; null where none does. Changes nothing: it is
 * for a second process that wants to talk to the database and not to own it.
 * @throws StartRefused where the folder is there but may not be read by this user
 */
export async function findRunningServer(dataDir: string): Promise<{ url: string } | null> {
  const folder = resolve(dataDir);
  try {
    const home = (await readIfPresent(join(folder, 'postgres.location')))?.trim() ?? join(folder, 'postgres');
    const server = await readPostmasterFile(join(home, 'cluster'));
    const password = (await readIfPresent(join(home, 'password')))?.trim();
    if (server === null || server.status !== 'ready' || password === undefined) {
      return null;
    }
    const host = encodeURIComponent(server.socketFolder);
    const url = `postgresql://${OWNER_NAME}:${password}@localhost/${OWNER_NAME}?host=${host}`;
    return (await answers(url)) ? { url } : null;
  } catch (error) {
    throw refusalForFolder(folder, error);
  }
}

/** A pid file outlives a killed server, so only an answer proves that there is one. */
async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return null;
    }
    throw error;
  }
}
