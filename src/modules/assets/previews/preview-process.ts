/**
 * The server's side of the preview process.
 *
 * - One job at a time, in a process without secrets, started when there is work and gone when there has been none for a while.
 * - A process serves one organisation: what a hostile file might do to it reaches nobody else's files.
 * - A job that takes too long, or more memory than it may, ends with its process; so does one that kills it. The caller then asks for a
 *   card, which opens no file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { type PreviewJob, type PreviewResult, previewResultSchema } from './preview-job.js';

const JOB_MS = 30_000;
const IDLE_MS = 10_000;
const MOST_RESIDENT_BYTES = 1024 * 1024 * 1024;
const LOOK_AT_MEMORY_MS = 100;
const HEAP_MEGABYTES = 384;
const PAGE_BYTES = 4096;

/** The process died, was ended for its time or memory, or answered nonsense. */
export class PreviewFailed extends Error {
  override readonly name = 'PreviewFailed';
}

@Injectable()
export class PreviewProcess implements BeforeApplicationShutdown {
  #program = fileURLToPath(new URL('./preview-child.js', import.meta.url));
  #child: ChildProcess | null = null;
  #organizationId = '';
  #idle: NodeJS.Timeout | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #jobs = 0;
  #stopped = false;

  /** For whoever runs the server from its sources: where the built program of the process is. */
  runFrom(program: string): void {
    this.#program = program;
  }

  /** @throws PreviewFailed */
  async run(organizationId: string, job: Omit<PreviewJob, 'id'>, limitMs = JOB_MS): Promise<PreviewResult> {
    const turn = this.#turn.then(() => this.#run(organizationId, job, limitMs));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopped = true;
    this.#end();
    await this.#turn;
  }

  async #run(organizationId: string, job: Omit<PreviewJob, 'id'>, limitMs: number): Promise<PreviewResult> {
    if (this.#stopped) {
      throw new PreviewFailed('the server stops');
    }
    if (this.#idle !== null) {
      clearTimeout(this.#idle);
    }
    if (this.#organizationId !== organizationId) {
      this.#end();
    }
    const child = (this.#child ??= this.#start());
    this.#organizationId = organizationId;
    this.#jobs += 1;
    const id = this.#jobs;
    try {
      const reply = await this.#answer(child, { ...job, id }, limitMs);
      const result = previewResultSchema.safeParse(reply);
      if (!result.success || result.data.id !== id) {
        throw new PreviewFailed('the preview process answered nonsense');
      }
      this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
      return result.data;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async #answer(child: ChildProcess, job: PreviewJob, limitMs: number): Promise<unknown> {
    const over = new AbortController();
    try {
      return await new Promise((resolve, reject) => {
        const fail = (why: string) => (): void => reject(new PreviewFailed(why));
        const { signal } = over;
        const timer = setTimeout(fail('the preview took too long'), limitMs);
        const watch = setInterval(() => {
          residentBytes(child.pid).then(
            (bytes) => (bytes > MOST_RESIDENT_BYTES ? fail('the preview took too much memory')() : undefined),
            () => undefined,
          );
        }, LOOK_AT_MEMORY_MS);
        const died = fail('the preview process died');
        child.once('message', resolve).once('close', died).once('error', died);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          clearInterval(watch);
          child.off('message', resolve).off('close', died).off('error', died);
        });
        child.send(job, (error) => (error === null ? undefined : died()));
      });
    } finally {
      over.abort();
    }
  }

  #start(): ChildProcess {
    const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MEGABYTES}`, this.#program], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { MALLOC_ARENA_MAX: '2' },
      cwd: '/',
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
    this.#child?.kill('SIGKILL');
    this.#child = null;
  }
}

/** What the system says; nothing where it does not say. */
async function residentBytes(pid: number | undefined): Promise<number> {
  const [, pages] = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ');
  return Number(pages) * PAGE_BYTES;
}
