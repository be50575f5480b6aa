/**
 * The next piece of a body, or a rejection with the signal's reason. One listener per piece on purpose: racing every piece against one
 * long-lived promise would keep each piece reachable from it, and so the whole body in memory.
 */
export async function nextPiece<T>(
  pieces: AsyncIterator<T>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<T>> {
  if (signal === undefined) return pieces.next();
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      try {
        signal.throwIfAborted();
      } catch (reason) {
        reject(reason instanceof Error ? reason : new Error('aborted', { cause: reason }));
      }
    };
    signal.addEventListener('abort', abort, { once: true });
    pieces
      .next()
      .then(resolve, reject)
      .finally(() => {
        signal.removeEventListener('abort', abort);
      });
  });
}
