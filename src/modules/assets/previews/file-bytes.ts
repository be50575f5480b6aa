import { type FileHandle, open } from 'node:fs/promises';

/** So many bytes from a position; fewer where the file ends. */
export async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/** The bytes of a file from one position to another, in pieces of a size; the last may be shorter. */
export async function* piecesOf(path: string, from: number, to: number, pieceBytes: number): AsyncGenerator<Buffer> {
  const file = await open(path);
  try {
    for (let at = from; at < to; at += pieceBytes) {
      const piece = await readAt(file, at, Math.min(pieceBytes, to - at));
      if (piece.length === 0) {
        return;
      }
      yield piece;
    }
  } finally {
    await file.close();
  }
}
