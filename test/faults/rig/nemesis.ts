/**
 * Draws faults from a seed and does them while the load runs: each has its turn when so much of the work is done, so that a slow machine
 * meets as many as a fast one. What it did to leases it writes down for the checker.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EmbeddedPostgres } from '../../../src/database/embedded/index.js';
import type { Replicas } from './client.js';
import type { Observer } from './observer.js';
import type { RigProcess } from './processes.js';
import { shuffled } from './random.js';

export interface FaultCounts {
  kills: number;
  freezes: number;
  stops: number;
  terms: number;
  replicaFreezes: number;
}

type Fault = keyof FaultCounts;

/** A lease that was taken from a frozen worker, and when, by database time. */
export interface TakenLease {
  runId: string;
  fence: string;
  at: string;
}

export interface Deeds extends FaultCounts {
  taken: TakenLease[];
  /** Writes in the name of a frozen worker, all of which must be refused. */
  lateTries: number;
  lateAccepted: string[];
  recoveryMs: number[];
}

interface Victims {
  replicas: readonly RigProcess[];
  roleWorker: RigProcess;
  workers: readonly RigProcess[];
}

/** Longest wait for progress before the next fault comes anyway. */
const STALL_MS = 4_000;
/** How much of the load may be handed in before the fault whose turn is next. */
const AHEAD = 0.06;

export class Nemesis {
  readonly deeds: Deeds = {
    kills: 0,
    freezes: 0,
    stops: 0,
    terms: 0,
    replicaFreezes: 0,
    taken: [],
    lateTries: 0,
    lateAccepted: [],
    recoveryMs: [],
  };

  #share = AHEAD;
  #isOver = false;

  constructor(
    private readonly random: () => number,
    private readonly victims: Victims,
    private readonly database: EmbeddedPostgres,
    private readonly observer: Observer,
    private readonly clients: { workers: Replicas; people: Replicas },
  ) {}

  /** The part of the load that may have been handed in by now: what the faults still to come are to meet is not yet. */
  get share(): number {
    return this.#share;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Does them all; `progress` from 0 to 1. */
  async run(counts: FaultCounts, progress: () => number): Promise<void> {
    const faults = shuffled(
      (['kills', 'freezes', 'stops', 'terms', 'replicaFreezes'] as const).flatMap((fault) =>
        Array<Fault>(counts[fault]).fill(fault),
      ),
      this.random,
    );
    try {
      for (const [index, fault] of faults.entries()) {
        const turn = (0.92 * (index + 1)) / (faults.length + 1);
        this.#share = Math.min(1, turn + AHEAD);
        for (let waitedMs = 0; progress() < turn && waitedMs < STALL_MS; waitedMs += 10) {
          await delay(10);
        }
        await this.#do(fault);
        this.deeds[fault] += 1;
      }
    } finally {
      this.#isOver = true;
    }
  }

  async #do(fault: Fault): Promise<void> {
    switch (fault) {
      case 'kills':
        return this.#end('SIGKILL');
      case 'terms':
        return this.#end('SIGTERM');
      case 'freezes':
        return this.#freezeWorker();
      case 'replicaFreezes':
        return this.#freezeReplica();
      case 'stops':
        return this.#stopDatabase();
    }
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const drawn = this.random();
    const group = drawn < 0.6 ? this.victims.workers : drawn < 0.85 ? this.victims.replicas : [this.victims.roleWorker];
    const victim = await this.#ready(group);
    victim.end(signal);
  }

  /** One of them that is up, drawn; waits where none is. */
  async #ready(group: readonly RigProcess[]): Promise<RigProcess> {
    for (;;) {
      const ready = group.filter((one) => one.isReady);
      const drawn = ready[Math.floor(this.random() * ready.length)];
      if (drawn !== undefined) {
        return drawn;
      }
      await delay(20);
    }
  }

  /**
   * Stops a worker that holds leases, lets them run out by the database's clock, writes in its name, and wakes it up: it goes on where it
   * was and has to be refused.
   */
  async #freezeWorker(): Promise<void> {
    for (;;) {
      const worker = await this.#ready(this.victims.workers);
      worker.freeze();
      // One row a statement, so that the rig never holds two locks; what is locked is left to the others.
      const held = await this.observer.rows<{ id: string }>(
        `select id from runs where status = 'running' and worker_id = $1`,
        [worker.workerId],
      );
      let taken = 0;
      for (const { id } of held) {
        taken += await this.#take(id, worker.workerId);
      }
      await delay(this.random() * 150);
      worker.thaw();
      if (taken > 0) {
        return;
      }
      await delay(20);
    }
  }

  async #take(runId: string, workerId: string): Promise<number> {
    const [taken] = await this.observer.rows<TakenLease & { nonce: string }>(
      `update runs set lease_expires_at = clock_timestamp() - interval '1 microsecond' where id = $1 and worker_id = $2 and status = 'running'
       returning id as "runId", fence::text, fence_nonce as nonce, clock_timestamp()::text as at`,
      [runId, workerId],
    );
    if (taken === undefined) {
      return 0;
    }
    const { nonce, ...lease } = taken;
    this.deeds.taken.push(lease);
    if (this.random() < 0.25) {
      await this.#writeLate(runId, `${lease.fence}.${nonce}`);
    }
    return 1;
  }

  async #writeLate(runId: string, fence: string): Promise<void> {
    const tries: [route: string, body: object][] = [
      ['heartbeat', { fence }],
      ['events', { fence, batch_id: 'late', events: [{ type: 'log', data: { text: 'late' } }] }],
      ['complete', { fence, output: { late: true } }],
      ['fail', { fence, error: { message: 'late' } }],
      ['release', { fence }],
    ];
    for (const [route, body] of tries) {
      const answer = await this.clients.workers.call('POST', `/api/v1/worker/runs/${runId}/${route}`, body);
      this.deeds.lateTries += 1;
      if (answer.outcome === 'ok') {
        this.deeds.lateAccepted.push(`${route} of ${runId} under ${fence}`);
      }
    }
  }

  async #freezeReplica(): Promise<void> {
    const replica = await this.#ready(this.victims.replicas);
    replica.freeze();
    await delay(100 + this.random() * 400);
    replica.thaw();
  }

  /** As `pg_ctl stop -m immediate`: no checkpoint, no good-bye. Measures until a write is acknowledged again. */
  async #stopDatabase(): Promise<void> {
    while (this.database.state !== 'running' || this.database.pid === null) {
      await delay(20);
    }
    const startedMs = performance.now();
    process.kill(this.database.pid, 'SIGQUIT');
    // The old server may answer for a moment longer.
    while (this.database.state === 'running') {
      await delay(5);
    }
    for (;;) {
      const body = { title: 'probe', prompt: 'x', start: false };
      const answer = await this.clients.people.call('POST', '/api/v1/tasks', body);
      if (answer.outcome === 'ok') {
        break;
      }
      await delay(50);
    }
    this.deeds.recoveryMs.push(Math.round(performance.now() - startedMs));
  }
}
