import { DiskBlobStore } from '../../src/infrastructure/blob-store/disk/disk-blob-store.js';
import { S3BlobStore } from '../../src/infrastructure/blob-store/s3/s3-blob-store.js';
import type { S3Settings } from '../../src/config/app-config.js';
import type { BlobKey } from '../../src/infrastructure/blob-store/blob-key.js';
import { SystemClock } from '../../src/kernel/clock.js';

/**
 * A process that dies in the middle of a put: it hands over as many pieces as told and says so on standard output. Before the
 * end it then stalls until it is killed; at the end it goes on, so that the kill falls somewhere in the last steps.
 */
const [place = '', key = '', piecesBeforeDeath = '', total = '', pieceBytes = ''] = process.argv.slice(2);

async function* body(): AsyncGenerator<Uint8Array> {
  for (let given = 0; given < Number(total); given += 1) {
    if (given === Number(piecesBeforeDeath)) await stall();
    yield Buffer.alloc(Number(pieceBytes), given);
  }
  process.stdout.write('reached\n');
}

async function stall(): Promise<void> {
  process.stdout.write('reached\n');
  // A timer, since an await alone does not keep a process alive.
  await new Promise((resolve) => setTimeout(resolve, 600_000));
}

const clock = new SystemClock();
const store = place.startsWith('{')
  ? new S3BlobStore(JSON.parse(place) as S3Settings, clock, 65_536)
  : await DiskBlobStore.open(place, clock);
await store.put(key as BlobKey, body(), { maxBytes: Number.MAX_SAFE_INTEGER });
