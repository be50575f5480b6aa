import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { type MediaFacts, type PreviewJob, previewMessageSchema, type PreviewResult } from './preview-job.js';

const IDLE_MS = 10_000;
const MAX_RESIDENT_BYTES = 1024 * 1024 * 1024;
const MEMORY_POLL_INTERVAL_MS = 100;
const HEAP_MEGABYTES = 384;
const PAGE_BYTES = 4096;

/** Milliseconds: of looking into the file, once the process has it, and of the whole job. */
export interface PreviewLimits {
  probeMs: number;
  totalMs: number;
}

/** The process died, was ended for its time or memory, or sent a malformed reply. */
export class PreviewFailed extends Error {
  override readonly name = 'PreviewFailed';

  constructor(
    message: string,
    /** What had been found out by then. */
    readonly metadata: MediaFacts = {},
  ) {
    super(message);
  }
}

/** One preview process at a time, and one job at a time in it. */
export class PreviewWorker {
  #child: ChildProcess | null = null;
  #organizationId: string | null = null;
  #idle: NodeJS.Timeout | null = null;
  #job: Promise<unknown> = Promise.resolve();
  #stopped = false;

  /** Of the process that is here; null where there is none. */
  get organizationId(): string | null {
    return this.#child === null ? null : this.#organizationId;
  }

  /** @throws PreviewFailed */
  async run(program: string, organizationId: string, job: PreviewJob, limits: PreviewLimits): Promise<PreviewResult> {
    if (this.#stopped) {
      throw new PreviewFailed('the server stops');
    }
    if (this.#idle !== null) {
      clearTimeout(this.#idle);
    }
    if (this.#organizationId !== organizationId) {
      this.#end();
    }
    const child = (this.#child ??= this.#start(program));
    this.#organizationId = organizationId;
    const result = answer(child, job, limits);
    this.#job = result.catch(() => undefined);
    try {
      const done = await result;
      this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
      return done;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#end();
    await this.#job;
  }

  #start(program: string): ChildProcess {
    const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MEGABYTES}`, program], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { MALLOC_ARENA_MAX: '2' },
      cwd: '/',
      // A group of its own, so that an ffmpeg that it runs ends with it.
      detached: true,
    });
    child.on('error', () => undefined);
    child.once('close', () => {
      if (this.#child === child) {
        this.#child = null;
      }
    });
    child.unref();
    child.channel?.unref();
    return child;
  }

  #end(): void {
    if (this.#child?.pid !== undefined) {
      killGroup(this.#child.pid);
    }
    this.#child = null;
  }
}

async function answer(child: ChildProcess, job: PreviewJob, limits: PreviewLimits): Promise<PreviewResult> {
  const over = new AbortController();
  try {
    return await new Promise<PreviewResult>((resolve, reject) => {
      let found: MediaFacts = {};
      let probe: NodeJS.Timeout | undefined;
      const fail = (why: string) => (): void => reject(new PreviewFailed(why, found));
      const total = setTimeout(fail('the preview took too long'), limits.totalMs);
      const watch = setInterval(() => {
        residentBytes(child.pid).then(
          (bytes) => (bytes > MAX_RESIDENT_BYTES ? fail('the preview took too much memory')() : undefined),
          () => undefined,
        );
      }, MEMORY_POLL_INTERVAL_MS);
      const onMessage = (message: unknown): void => {
        const { success, data } = previewMessageSchema.safeParse(message);
        if (!success || data.id !== job.id) {
          fail('the preview process sent a malformed reply')();
        } else if (!('stage' in data)) {
          resolve(data);
        } else if (data.stage === 'probing') {
          probe = setTimeout(fail('looking into the file took too long'), limits.probeMs);
        } else {
          clearTimeout(probe);
          found = data.metadata;
        }
      };
      const died = (): void => fail('the preview process died')();
      child.on('message', onMessage).once('close', died).once('error', died);
      over.signal.addEventListener('abort', () => {
        clearTimeout(total);
        clearTimeout(probe);
        clearInterval(watch);
        child.off('message', onMessage).off('close', died).off('error', died);
      });
      child.send(job, (error) => (error === null ? undefined : died()));
    });
  } finally {
    over.abort();
  }
}

/** The process and all that it started; it may have ended by itself. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // There is none any more.
  }
}

/** Of the process and the ffmpeg that it runs, as the system says; rejects where it does not say. */
async function residentBytes(pid: number | undefined): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const sizes = await Promise.all(
    children
      .split(' ')
      .filter(Boolean)
      .map((child) => ofProcess(child).catch(() => 0)),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, await ofProcess(String(pid)));
}

async function ofProcess(pid: string): Promise<number> {
  const [, pages] = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ');
  return Number(pages) * PAGE_BYTES;
}
