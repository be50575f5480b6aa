/**
 * The server's side of the preview processes.
 *
 * - A few lanes, each with at most one process and one job at a time. Processes have no secrets, start when there is work and are gone when
 *   there has been none for a while.
 * - A process serves one organization: what a hostile file does to it reaches nobody else's files. Where another organization takes the
 *   lane, its process is replaced.
 * - Looking into a file has a short limit, drawing it a longer one. A job that exceeds either, or its memory, ends with its process and with
 *   all that this started; so does one that kills it. The other lanes go on. The caller then asks for a card, which opens no file; what was
 *   found out before is kept.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { PreviewWorker, type PreviewLimits } from './preview-worker.js';
import type { PreviewJob, PreviewResult } from './preview-job.js';

const MIN_LANES = 2;
const MAX_LANES = 4;
/** Two at least, so that a file that hangs leaves a lane free on the smallest machine; each may take 1 GiB, so no more than a few. */
export const PREVIEW_LANES = Math.min(MAX_LANES, Math.max(MIN_LANES, availableParallelism()));

const LIMITS: PreviewLimits = { probeMs: 5_000, totalMs: 30_000 };

@Injectable()
export class PreviewProcess implements BeforeApplicationShutdown {
  #program = fileURLToPath(new URL('./preview-child.js', import.meta.url));
  readonly #lanes = Array.from({ length: PREVIEW_LANES }, () => new PreviewWorker());
  readonly #free = new Set(this.#lanes);
  readonly #waiting: ((lane: PreviewWorker) => void)[] = [];
  #jobs = 0;

  /** For a server that runs from its sources: where the built program of the process is. */
  runFrom(program: string): void {
    this.#program = program;
  }

  /** @throws PreviewFailed */
  async run(
    organizationId: string,
    job: Omit<PreviewJob, 'id'>,
    limits: Partial<PreviewLimits> = {},
  ): Promise<PreviewResult> {
    const lane =
      this.#take(organizationId) ?? (await new Promise<PreviewWorker>((resolve) => this.#waiting.push(resolve)));
    this.#jobs += 1;
    try {
      return await lane.run(this.#program, organizationId, { ...job, id: this.#jobs }, { ...LIMITS, ...limits });
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#free.add(lane);
      } else {
        next(lane);
      }
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.stop()));
  }

  /** A free lane: one whose process serves the organization already, else one without a process. */
  #take(organizationId: string): PreviewWorker | null {
    const free = [...this.#free];
    const lane =
      free.find((one) => one.organizationId === organizationId) ??
      free.find((one) => one.organizationId === null) ??
      free[0];
    if (lane === undefined) {
      return null;
    }
    this.#free.delete(lane);
    return lane;
  }
}
