/** Makes the runs over HTTP, as a client that asks again under the same key until it knows, and remembers what it was told. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Replicas } from './client.js';
import { seededRandom } from './random.js';

export interface Acknowledged {
  title: string;
  taskId: string;
  runId: string;
}

export interface Created {
  acknowledged: Acknowledged[];
  /** Titles of which nobody knows whether they are there. */
  unknown: string[];
  refused: string[];
  asked: number;
}

export interface Pace {
  settled: () => number;
  allowed: () => number;
  isOver: () => boolean;
}

const SENDERS = 12;
const AGAIN_MS = 250;
const MAX_TRIES = 120;
/** Runs that may be under way; more would only be a longer queue. */
const MAX_OPEN = 400;
/** Runs that are always under way, so that no fault waits for work. */
const FEWEST_OPEN = 32;
/** One in so many is canceled by its person, half of them with force. */
const CANCEL_EVERY = 40;

export class Creator {
  readonly created: Created = { acknowledged: [], unknown: [], refused: [], asked: 0 };
  canceled = 0;
  #next = 0;

  constructor(
    private readonly replicas: Replicas,
    private readonly seed: number,
  ) {}

  /**
   * Makes `count` runs and, beyond these, a few at a time until `isOver`: a fault that takes its time on a slow machine still meets
   * runs under way. `allowed`: how many may have been made by now.
   */
  async create(agent: string, count: number, pace: Pace): Promise<void> {
    const random = seededRandom(this.seed);
    const sender = async (): Promise<void> => {
      while (this.#next < count || !pace.isOver()) {
        const number = (this.#next += 1);
        while (!this.#mayMake(number, count, pace)) {
          await delay(20);
        }
        await this.#make(agent, `run-${number}`);
        if (number % CANCEL_EVERY === 0) {
          await this.#cancel(random() < 0.5);
        }
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, sender));
  }

  #mayMake(number: number, count: number, pace: Pace): boolean {
    const open = this.created.acknowledged.length - pace.settled();
    return (open <= MAX_OPEN && number <= Math.min(count, pace.allowed())) || open < FEWEST_OPEN || pace.isOver();
  }

  /** One task, asked for until it is known to be there. */
  async #make(agent: string, title: string): Promise<void> {
    const body = { agent, title, prompt: 'x' };
    this.created.asked += 1;
    for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
      const answer = await this.replicas.call('POST', '/api/v1/tasks', body, { 'idempotency-key': title });
      if (answer.outcome === 'ok') {
        this.created.acknowledged.push({ title, taskId: answer.body.task.id, runId: answer.body.stream.streamId });
        return;
      }
      if (answer.outcome === 'refused' && answer.status !== 409) {
        this.created.refused.push(`${title}: ${answer.status} ${JSON.stringify(answer.body)}`);
        return;
      }
      await delay(AGAIN_MS);
    }
    this.created.unknown.push(title);
  }

  async #cancel(force: boolean): Promise<void> {
    const victim = this.created.acknowledged.at(-1);
    if (victim !== undefined) {
      const answer = await this.replicas.call('POST', `/api/v1/runs/${victim.runId}/cancel`, { force });
      this.canceled += answer.outcome === 'ok' ? 1 : 0;
    }
  }
}
