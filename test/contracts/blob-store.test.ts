import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { DynamicModule } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { blobKey, blobPrefix, type BlobKey } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { BlobStoreModule } from '../../src/infrastructure/blob-store/blob-store.module.js';
import { DiskBlobStore } from '../../src/infrastructure/blob-store/disk/disk-blob-store.js';
import { S3BlobStore } from '../../src/infrastructure/blob-store/s3/s3-blob-store.js';
import { AppConfig, type S3Settings } from '../../src/config/app-config.js';
import { Clock, SystemClock } from '../../src/kernel/clock.js';
import { newId } from '../../src/kernel/ids.js';
import { startS3Server, type S3TestServer } from '../support/s3-server.js';
import { TestClock } from '../support/test-clock.js';
import { describeBlobStore, type BlobStoreHarness } from './blob-store.contract.js';

const RUN_CHILD = ['--import', './test/support/register-typescript.mjs', 'test/contracts/blob-store.child.ts'];

async function killDuringPut(place: string, key: BlobKey, ...numbers: number[]): Promise<void> {
  const child = spawn(process.execPath, [...RUN_CHILD, place, key, ...numbers.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  // A child that fails by itself ends too, and the case then finds nothing to sweep.
  await Promise.race([once(child.stdout, 'data'), exited]);
  child.kill('SIGKILL');
  await exited;
}

describeBlobStore('disk', async (): Promise<BlobStoreHarness> => {
  const folder = await mkdtemp(join(tmpdir(), 'blob-store-'));
  const clock = new TestClock();
  return {
    open: () => DiskBlobStore.open(folder, clock),
    bytesBeforeTemporary: 0,
    advance: (ms) => {
      clock.advance(ms);
    },
    killDuringPut: (key, ...numbers) => killDuringPut(folder, key, ...numbers),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});

describeBlobStore('S3', async (): Promise<BlobStoreHarness> => {
  const server = await startS3Server();
  const clock = new TestClock();
  const settings = { ...server, prefix: 'taskyard/', pathStyle: true };
  return {
    open: () => Promise.resolve(new S3BlobStore(settings, clock, 65_536)),
    bytesBeforeTemporary: 65_536,
    advance: (ms) => {
      clock.advance(ms);
    },
    killDuringPut: async (key, ...numbers) => {
      const { endpoint, bucket, region, credentials, prefix, pathStyle } = settings;
      const place = JSON.stringify({ endpoint, bucket, region, credentials, prefix, pathStyle });
      const before = await server.connections();
      await killDuringPut(place, key, ...numbers);
      await server.settled(before);
    },
    dispose: async () => {
      expect(server.refused).toEqual([]);
      await server.stop();
    },
  };
});

describe('S3 blob store', () => {
  let server: S3TestServer;
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterAll(() => server.stop());
  const settings = (changed: Partial<S3Settings> = {}): S3Settings => {
    const { endpoint, bucket, region, credentials } = server;
    return { endpoint, bucket, region, credentials, prefix: '', pathStyle: true, ...changed };
  };
  const key = blobKey(newId(), newId(), 'original');

  it.each([
    ['a bucket that is not there', { bucket: 'others' }],
    ['another region', { region: 'elsewhere-1' }],
    ['a wrong secret', { credentials: { accessKeyId: 'AKTESTTESTTEST', secretAccessKey: 'wrong' } }],
    ['a server that is not there', { endpoint: 'http://127.0.0.1:9' }],
  ])('stops the start, in one sentence, for %s', async (_name, changed) => {
    await expect(S3BlobStore.open(settings(changed), new SystemClock())).rejects.toThrow(/check S3_BUCKET/);
  });

  it('names the bucket in the host, where the server wants it so', async () => {
    // A name under localhost is this machine's by definition (RFC 6761), with the bucket in front too.
    const endpoint = server.endpoint.replace('127.0.0.1', 'localhost');
    const store = new S3BlobStore(settings({ endpoint, pathStyle: false }), new SystemClock());
    const put = await store.put(key, oneChunk('in the host'), { maxBytes: 100 }).catch((error: unknown) => error);
    // Some resolvers do not know names under localhost; nothing else may go wrong.
    expect(put).toMatchObject(server.objects.has(key) ? { sizeBytes: 11 } : { code: 'unavailable' });
  });

  it('says that the storage is away, and nothing more', async () => {
    const store = new S3BlobStore(settings({ endpoint: 'http://127.0.0.1:9' }), new SystemClock());
    const refused = store.put(key, oneChunk('x'), { maxBytes: 100 });
    await expect(refused).rejects.toMatchObject({ code: 'unavailable', message: expect.not.stringContaining('127') });
  });

  it('leaves objects of others in the bucket alone', async () => {
    const store = new S3BlobStore(settings({ prefix: 'ours/' }), new SystemClock());
    server.objects.set('ours/README', { bytes: Buffer.from('theirs'), storedAt: new Date() });
    await store.put(key, oneChunk('ours'), { maxBytes: 100 });
    const keys: BlobKey[] = [];
    for await (const found of store.list(blobPrefix())) keys.push(found);
    expect(keys).toEqual([key]);
  });
});

describe('disk blob store', () => {
  const organizationId = newId();
  const assetId = newId();
  const key = blobKey(organizationId, assetId, 'original');

  async function inFolder(work: (folder: string, store: DiskBlobStore) => Promise<void>): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'blob-store-'));
    try {
      await work(folder, await DiskBlobStore.open(join(folder, 'blobs'), new SystemClock()));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  const put = (store: DiskBlobStore, at: BlobKey, text: string): Promise<unknown> =>
    store.put(at, oneChunk(text), { maxBytes: 1000 });
  const pathIn = (folder: string): string =>
    join(folder, 'blobs/objects', organizationId, assetId.slice(-2), `${assetId}.original`);

  it('makes folders that only their owner may enter and files that only their owner may read', async () => {
    await inFolder(async (folder, store) => {
      await put(store, key, 'private');
      const mode = async (path: string): Promise<number> => (await lstat(path)).mode & 0o777;
      expect(await mode(pathIn(folder))).toBe(0o600);
      expect(await mode(dirname(pathIn(folder)))).toBe(0o700);
      expect(await mode(join(folder, 'blobs'))).toBe(0o700);
      expect(await mode(join(folder, 'blobs/temporary'))).toBe(0o700);
    });
  });

  it('does not follow a link in place of a blob', async () => {
    await inFolder(async (folder, store) => {
      await put(store, key, 'ours');
      await writeFile(join(folder, 'outside'), 'outside');
      await rm(pathIn(folder));
      await symlink(join(folder, 'outside'), pathIn(folder));
      await expect(store.open(key)).rejects.toMatchObject({ code: 'internal' });
      await expect(store.stat(key)).rejects.toMatchObject({ code: 'internal' });
      await expect(put(store, key, 'new')).rejects.toMatchObject({ code: 'internal' });
      await store.remove(key);
      expect(await readFile(join(folder, 'outside'), 'utf8')).toBe('outside');
    });
  });

  it('does not go through a link in place of a folder, neither to read nor to write nor to remove', async () => {
    await inFolder(async (folder, store) => {
      await put(store, key, 'ours');
      await rename(join(folder, 'blobs/objects', organizationId), join(folder, 'moved'));
      await symlink(join(folder, 'moved'), join(folder, 'blobs/objects', organizationId));
      await expect(store.open(key)).rejects.toMatchObject({ code: 'internal' });
      await expect(store.remove(key)).rejects.toMatchObject({ code: 'internal' });
      const other = blobKey(organizationId, newId(), 'original');
      await expect(put(store, other, 'new')).rejects.toMatchObject({ code: 'internal' });
      expect(await readFile(join(folder, 'moved', assetId.slice(-2), `${assetId}.original`), 'utf8')).toBe('ours');
      expect(await readdir(join(folder, 'moved'))).toEqual([assetId.slice(-2)]);
    });
  });

  it('refuses a folder or a pipe in place of a blob', async () => {
    await inFolder(async (folder, store) => {
      await mkdir(pathIn(folder), { recursive: true });
      await expect(store.open(key)).rejects.toMatchObject({ code: 'internal' });
      await rm(pathIn(folder), { recursive: true });
      const made = spawn('mkfifo', [pathIn(folder)], { stdio: 'ignore' });
      expect(await once(made, 'exit')).toEqual([0, null]);
      await expect(store.open(key)).rejects.toMatchObject({ code: 'internal' });
    });
  });

  it('works below a data folder that is itself a link', async () => {
    await inFolder(async (folder) => {
      await mkdir(join(folder, 'real'));
      await symlink(join(folder, 'real'), join(folder, 'linked'));
      const store = await DiskBlobStore.open(join(folder, 'linked/blobs'), new SystemClock());
      await put(store, key, 'kept');
      expect(await store.stat(key)).toMatchObject({ sizeBytes: 4 });
    });
  });

  it('says at the start, in one sentence, that a folder cannot be used', async () => {
    await inFolder(async (folder) => {
      await writeFile(join(folder, 'file'), '');
      await expect(DiskBlobStore.open(join(folder, 'file/blobs'), new SystemClock())).rejects.toThrow(
        /set DATA_DIR to/,
      );
      await mkdir(join(folder, 'closed'), { mode: 0o500 });
      if (process.getuid?.() !== 0) {
        await expect(DiskBlobStore.open(join(folder, 'closed/blobs'), new SystemClock())).rejects.toThrow(/DATA_DIR/);
      }
      await chmod(join(folder, 'closed'), 0o700);
    });
  });

  it('ignores files in its folder that are not its own', async () => {
    await inFolder(async (folder, store) => {
      await put(store, key, 'ours');
      await writeFile(join(dirname(pathIn(folder)), 'README.md'), '');
      await writeFile(join(dirname(pathIn(folder)), `${assetId}.UPPER`), '');
      await mkdir(join(folder, 'blobs/objects/lost+found'));
      const keys: BlobKey[] = [];
      for await (const found of store.list(blobPrefix())) keys.push(found);
      expect(keys).toEqual([key]);
    });
  });
});

describe('blob store module', () => {
  it('binds the port to a folder of the data folder, and clears it of leftovers a day old', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'blob-store-'));
    const leftover = join(dataDir, 'blobs/temporary/leftover.part');
    await mkdir(dirname(leftover), { recursive: true });
    await writeFile(leftover, '');
    const clock = new TestClock();
    clock.advance(25 * 60 * 60 * 1000);
    const globals: DynamicModule = {
      module: class Globals {},
      global: true,
      providers: [
        { provide: AppConfig, useValue: { dataDir, s3: null } },
        { provide: Clock, useValue: clock },
      ],
      exports: [AppConfig, Clock],
    };
    const module = await Test.createTestingModule({ imports: [globals, BlobStoreModule] }).compile();
    const store = module.get(BlobStore);
    expect(store).toBeInstanceOf(DiskBlobStore);
    expect(await readdir(dirname(leftover))).toEqual([]);
    await module.close();
    await rm(dataDir, { recursive: true });
  });
});

async function* oneChunk(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}
