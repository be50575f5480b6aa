import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { blobKey, blobPrefix, type BlobKey } from '../../src/infrastructure/blob-store/blob-key.js';
import type { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { newId } from '../../src/kernel/ids.js';

/** What a driver must lend the suite. */
export interface BlobStoreHarness {
  /** Another instance over the same storage, as a second replica or the next start would have. */
  open(): Promise<BlobStore>;
  /**
   * Runs `put` in a process of its own and kills it (SIGKILL) after the store has taken `piecesBeforeDeath` pieces; `total`
   * pieces would be the whole body. Resolves when the process is gone.
   */
  killDuringPut(key: BlobKey, piecesBeforeDeath: number, total: number, pieceBytes: number): Promise<void>;
  /** Bytes from which on an unfinished put leaves something that a sweep removes; before, it leaves nothing. */
  bytesBeforeTemporary: number;
  /** Moves the clock of the stores opened here. */
  advance(ms: number): void;
  dispose(): Promise<void>;
}

const MINUTE_MS = 60_000;

/** Holds a driver against the promises in the header of `blob-store.ts`. */
export function describeBlobStore(name: string, createHarness: () => Promise<BlobStoreHarness>): void {
  describe(`blob store: ${name}`, () => {
    let harness: BlobStoreHarness;
    let store: BlobStore;
    const organizationId = newId();
    const freshKey = (): BlobKey => blobKey(organizationId, newId(), 'original');

    beforeEach(async () => {
      harness = await createHarness();
      store = await harness.open();
    });
    afterEach(() => harness.dispose());

    it('gives back what was put, with its size and digest, also to another instance', async () => {
      const key = freshKey();
      const bytes = randomBytes(300_000);
      const stored = await store.put(key, inPieces(bytes, 7_001), { maxBytes: bytes.length });
      expect(stored).toEqual({ sizeBytes: 300_000, sha256: createHash('sha256').update(bytes).digest('hex') });
      const other = await harness.open();
      expect((await read(other, key))?.equals(bytes)).toBe(true);
      expect(await other.stat(key)).toMatchObject({ sizeBytes: 300_000 });
    });

    it('keeps an empty blob apart from no blob', async () => {
      const key = freshKey();
      expect(await store.open(key)).toBeNull();
      expect(await store.stat(key)).toBeNull();
      await store.put(key, Readable.from([]), { maxBytes: 0 });
      expect(await read(store, key)).toHaveLength(0);
      expect(await store.stat(key)).toMatchObject({ sizeBytes: 0 });
    });

    it('reads ranges with both ends included, and cuts an end past the blob', async () => {
      const key = freshKey();
      await store.put(key, inPieces(Buffer.from('0123456789'), 3), { maxBytes: 10 });
      expect(await read(store, key, { start: 0, end: 0 })).toEqual(Buffer.from('0'));
      expect(await read(store, key, { start: 2, end: 5 })).toEqual(Buffer.from('2345'));
      expect(await read(store, key, { start: 9, end: 5_000 })).toEqual(Buffer.from('9'));
      expect((await store.open(key, { start: 3, end: 4 }).then(drain))?.sizeBytes).toBe(10);
    });

    it.each([
      { start: 10, end: 12 },
      { start: 5, end: 4 },
      { start: -1, end: 4 },
      { start: 0.5, end: 4 },
      { start: Number.NaN, end: 4 },
      { start: 0, end: Number.POSITIVE_INFINITY },
    ])('refuses the range $start to $end of ten bytes', async (range) => {
      const key = freshKey();
      await store.put(key, inPieces(Buffer.from('0123456789'), 3), { maxBytes: 10 });
      await expect(store.open(key, range)).rejects.toMatchObject({ code: 'invalid-request' });
    });

    it('refuses a body one byte past the limit, stops reading it and keeps nothing', async () => {
      const key = freshKey();
      let piecesAsked = 0;
      let toldToStop = false;
      async function* endless(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) {
            piecesAsked += 1;
            yield await Promise.resolve(Buffer.alloc(50));
          }
        } finally {
          toldToStop = true;
        }
      }
      await expect(store.put(key, endless(), { maxBytes: 99 })).rejects.toMatchObject({ code: 'payload-too-large' });
      expect(piecesAsked).toBe(2);
      expect(toldToStop).toBe(true);
      await expectNothingKept(key);
      await store.put(key, inPieces(Buffer.alloc(99), 50), { maxBytes: 99 });
      expect(await store.stat(key)).toMatchObject({ sizeBytes: 99 });
    });

    it('never overwrites: a later writer gets a conflict and changes nothing', async () => {
      const key = freshKey();
      await store.put(key, inPieces(Buffer.from('first'), 5), { maxBytes: 10 });
      await expect(store.put(key, inPieces(Buffer.from('second'), 5), { maxBytes: 10 })).rejects.toMatchObject({
        code: 'conflict',
      });
      expect(await read(store, key)).toEqual(Buffer.from('first'));
    });

    it('lets exactly one of many writers of one key win, each through its own instance', async () => {
      const key = freshKey();
      const writers = await Promise.all(Array.from({ length: 8 }, () => harness.open()));
      // All have begun, and read the key as free, before any may finish.
      const gate = barrier(writers.length);
      const outcomes = await Promise.allSettled(
        writers.map((writer, index) => writer.put(key, gated(Buffer.alloc(20_000, index), gate), { maxBytes: 50_000 })),
      );
      const winners = outcomes.flatMap((outcome, index) => (outcome.status === 'fulfilled' ? [index] : []));
      const losers = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
      expect(winners).toHaveLength(1);
      for (const reason of losers) expect(reason).toMatchObject({ code: 'conflict' });
      expect(await read(store, key)).toEqual(Buffer.alloc(20_000, winners[0]));
      expect(await sweepEverything()).toBe(0);
    });

    it('shows nothing of a blob before it is whole', async () => {
      const key = freshKey();
      const gate = barrier(2);
      const putting = store.put(key, gated(Buffer.alloc(5_000, 1), gate), { maxBytes: 5_000 });
      expect(await store.open(key)).toBeNull();
      expect(await keysOf()).toEqual([]);
      await gate();
      await putting;
      expect(await keysOf()).toEqual([key]);
    });

    it('shows nothing that whoever stores it does not accept, and says why', async () => {
      const key = freshKey();
      const reason = new Error('not what was announced');
      for (const sizeBytes of [5, 200_000]) {
        const refused = store.put(key, inPieces(Buffer.alloc(sizeBytes), 50_000), {
          maxBytes: 200_000,
          accept: (arrived) => {
            expect(arrived.sizeBytes).toBe(sizeBytes);
            throw reason;
          },
        });
        await expect(refused).rejects.toBe(reason);
        await expectNothingKept(key);
      }
    });

    it('gives up a stalled body when the signal aborts, and keeps nothing', async () => {
      const key = freshKey();
      const abort = new AbortController();
      const reason = new Error('the sender went away');
      async function* stalling(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('some');
        abort.abort(reason);
        await new Promise(() => undefined);
      }
      await expect(store.put(key, stalling(), { maxBytes: 100, signal: abort.signal })).rejects.toBe(reason);
      await expectNothingKept(key);
    });

    it('does not begin under a signal that has aborted, nor keep a body whose signal aborts with the last byte', async () => {
      const key = freshKey();
      const reason = new Error('too late');
      await expect(
        store.put(key, inPieces(Buffer.from('x'), 1), { maxBytes: 1, signal: AbortSignal.abort(reason) }),
      ).rejects.toBe(reason);
      const abort = new AbortController();
      async function* lastMoment(): AsyncGenerator<Uint8Array> {
        yield await Promise.resolve(Buffer.from('all'));
        abort.abort(reason);
      }
      await expect(store.put(key, lastMoment(), { maxBytes: 100, signal: abort.signal })).rejects.toBe(reason);
      await expectNothingKept(key);
    });

    it('passes on the error of a failing body, and keeps nothing', async () => {
      const key = freshKey();
      const reason = new Error('connection reset');
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield await Promise.resolve(Buffer.from('some'));
        throw reason;
      }
      await expect(store.put(key, failing(), { maxBytes: 100 })).rejects.toBe(reason);
      await expectNothingKept(key);
    });

    it('removes, also twice, frees the key, and lets an open reader finish', async () => {
      const key = freshKey();
      const bytes = randomBytes(400_000);
      await store.put(key, inPieces(bytes, 50_000), { maxBytes: 400_000 });
      const opened = await store.open(key);
      await store.remove(key);
      await store.remove(key);
      expect(await store.open(key)).toBeNull();
      expect(opened !== null && (await buffer(opened.stream)).equals(bytes)).toBe(true);
      await store.put(key, inPieces(Buffer.from('again'), 5), { maxBytes: 5 });
      expect(await read(store, key)).toEqual(Buffer.from('again'));
    });

    it('lists the keys of everything, of one organisation and of one asset, and no others', async () => {
      const otherOrganizationId = newId();
      const assetId = newId();
      const ours = [
        blobKey(organizationId, assetId, 'original'),
        blobKey(organizationId, assetId, 'thumbnail'),
        blobKey(organizationId, newId(), 'original'),
      ];
      const theirs = blobKey(otherOrganizationId, newId(), 'original');
      for (const key of [...ours, theirs]) await store.put(key, inPieces(Buffer.from('x'), 1), { maxBytes: 1 });
      expect(await keysOf(blobPrefix())).toEqual([...ours, theirs].sort());
      expect(await keysOf(blobPrefix(organizationId))).toEqual([...ours].sort());
      expect(await keysOf(blobPrefix(organizationId, assetId))).toEqual(ours.slice(0, 2).sort());
      expect(await keysOf(blobPrefix(newId()))).toEqual([]);
      expect(await keysOf(blobPrefix(organizationId, newId()))).toEqual([]);
    });

    it.each([
      '../../../etc/passwd',
      `${organizationId}/../${newId()}`,
      `${organizationId}/${newId()}/..`,
      `${organizationId}/${newId()}/a/b`,
      `${organizationId}/${newId()}/a\u0000b`,
      `/${organizationId}/${newId()}/original`,
      `${organizationId}\\${newId()}\\original`,
      '',
    ])('refuses the forged key %j on every method, even when a cast made it a key', async (text) => {
      const forged = text as BlobKey;
      await expect(store.put(forged, inPieces(Buffer.from('x'), 1), { maxBytes: 1 })).rejects.toThrow(TypeError);
      await expect(store.open(forged)).rejects.toThrow(TypeError);
      await expect(store.stat(forged)).rejects.toThrow(TypeError);
      await expect(store.remove(forged)).rejects.toThrow(TypeError);
      expect(await keysOf()).toEqual([]);
    });

    it('sweeps what stalled for longer than asked, and leaves whole blobs alone', async () => {
      const key = freshKey();
      const stalledKey = freshKey();
      await store.put(key, inPieces(Buffer.from('whole'), 5), { maxBytes: 5 });
      const begun = signal();
      const release = signal();
      async function* stalling(): AsyncGenerator<Uint8Array> {
        yield Buffer.alloc(harness.bytesBeforeTemporary + 4);
        begun.resolve();
        await release.promise;
      }
      const putting = store.put(stalledKey, stalling(), { maxBytes: 1_000_000 });
      await begun.promise;
      expect(await store.sweepTemporaries(MINUTE_MS)).toBe(0);
      harness.advance(2 * MINUTE_MS);
      expect(await store.sweepTemporaries(MINUTE_MS)).toBe(1);
      release.resolve();
      await expect(putting).rejects.toMatchObject({ code: 'unavailable' });
      expect(await keysOf()).toEqual([key]);
    });

    it.each([0, 1, 3])(
      'leaves no key behind, only what a sweep removes, when its process is killed after %i of 4 pieces',
      async (pieces) => {
        const key = freshKey();
        await harness.killDuringPut(key, pieces, 4, 70_000);
        expect(await store.open(key)).toBeNull();
        expect(await store.stat(key)).toBeNull();
        expect(await keysOf()).toEqual([]);
        expect(await sweepEverything()).toBe(pieces * 70_000 >= harness.bytesBeforeTemporary ? 1 : 0);
        await store.put(key, inPieces(Buffer.from('next try'), 8), { maxBytes: 8 });
        expect(await read(store, key)).toEqual(Buffer.from('next try'));
      },
    );

    it('shows the whole blob or none of it when its process is killed at the very end', async () => {
      for (let round = 0; round < 4; round += 1) {
        const key = freshKey();
        await harness.killDuringPut(key, 4, 4, 70_000);
        const kept = await store.stat(key);
        expect([null, 280_000]).toContain(kept?.sizeBytes ?? null);
        await sweepEverything();
        expect(await store.stat(key)).toEqual(kept);
      }
      expect(await sweepEverything()).toBe(0);
    });

    async function expectNothingKept(key: BlobKey): Promise<void> {
      expect(await store.stat(key)).toBeNull();
      expect(await keysOf()).toEqual([]);
      expect(await sweepEverything()).toBe(0);
    }

    async function sweepEverything(): Promise<number> {
      harness.advance(MINUTE_MS);
      return store.sweepTemporaries(0);
    }

    async function keysOf(prefix = blobPrefix()): Promise<BlobKey[]> {
      const keys: BlobKey[] = [];
      for await (const key of store.list(prefix)) keys.push(key);
      return keys.sort();
    }
  });
}

async function read(store: BlobStore, key: BlobKey, range?: { start: number; end: number }): Promise<Buffer | null> {
  const opened = await store.open(key, range);
  return opened === null ? null : buffer(opened.stream);
}

async function drain<T extends { stream: Readable } | null>(opened: T): Promise<T> {
  if (opened !== null) await buffer(opened.stream);
  return opened;
}

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    yield await Promise.resolve(bytes.subarray(start, start + pieceBytes));
  }
}

async function* gated(bytes: Buffer, gate: () => Promise<void>): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, bytes.length / 2);
  await gate();
  yield bytes.subarray(bytes.length / 2);
}

/** A function that resolves once it has been called as often as told. */
function barrier(parties: number): () => Promise<void> {
  const open = signal();
  let arrived = 0;
  return () => {
    arrived += 1;
    if (arrived === parties) open.resolve();
    return open.promise;
  };
}

function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}
