// One engine in a process of its own, told over IPC what to do; nothing but `create` and `work` is timed.
export function serve({ create, work, explain, close }) {
  const deeds = { create, work, explain };
  process.on('message', async ({ id, deed, jobs, mode }) => {
    try {
      if (deed === 'close') {
        await close();
        process.exit(0);
      }
      const startedMs = performance.now();
      const value = await deeds[deed](jobs, mode);
      process.send({ id, ms: performance.now() - startedMs, value });
    } catch (error) {
      process.send({
        id,
        error:
          error instanceof Error
            ? `${error.stack} ${error.cause instanceof Error ? error.cause.stack : ''} ${error.internal ?? ''}`
            : String(error),
      });
    }
  });
  process.on('disconnect', () => process.exit(0));
  process.send({ ready: true });
}

/** Nothing to take for so long: jobs are missing. */
const STALL_MS = 10_000;

/** `jobs` in slices of `batch`, `senders` at a time. */
export async function inSlices(jobs, { senders, batch }, send) {
  let left = jobs;
  await Promise.all(
    Array.from({ length: senders }, async () => {
      while (left > 0) {
        const count = Math.min(batch, left);
        left -= count;
        await send(count);
      }
    }),
  );
}

/** `senders` loops that take until `jobs` are done; `take` answers how many it did. */
export async function untilDone(jobs, { senders }, take) {
  let done = 0;
  let lateMs = performance.now() + STALL_MS;
  await Promise.all(
    Array.from({ length: senders }, async () => {
      while (done < jobs && performance.now() < lateMs) {
        const count = await take();
        done += count;
        lateMs = count > 0 ? performance.now() + STALL_MS : lateMs;
      }
    }),
  );
  if (done !== jobs) {
    throw new Error(`${done} jobs done, ${jobs} there were`);
  }
}
