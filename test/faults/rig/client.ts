/** Requests to replicas that may die, freeze or lose their database at any moment. */
import { Agent, request } from 'node:http';

export interface Answer {
  /** `unknown`: it may or may not have happened. */
  outcome: 'ok' | 'refused' | 'unknown';
  status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- replies of every shape
  body: any;
}

/** Nothing waits longer than a claim plus this. */
const PATIENCE_MS = 8_000;

export class Replicas {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  #turn: number;

  constructor(
    private readonly ports: readonly number[],
    private readonly key: string,
    first = 0,
  ) {
    this.#turn = first;
  }

  /** One try at one replica; after an unknown outcome the next try goes to another. */
  async call(
    method: string,
    path: string,
    body: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const port = this.ports[this.#turn % this.ports.length] ?? 0;
    const answer = await this.#once(port, method, path, JSON.stringify(body), headers);
    if (answer.outcome === 'unknown') {
      this.#turn += 1;
    }
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }

  #once(
    port: number,
    method: string,
    path: string,
    text: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> {
    return new Promise((resolve) => {
      const lost = (): void => resolve({ outcome: 'unknown', status: 0, body: null });
      const sent = request(
        {
          agent: this.#agent,
          host: '127.0.0.1',
          port,
          method,
          path,
          timeout: PATIENCE_MS,
          headers: {
            authorization: `Bearer ${this.key}`,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(text),
            ...headers,
          },
        },
        (reply) => {
          const chunks: Buffer[] = [];
          reply.on('data', (chunk: Buffer) => chunks.push(chunk));
          reply.on('error', lost);
          reply.on('aborted', lost);
          reply.on('end', () => resolve(answerOf(reply.statusCode ?? 0, Buffer.concat(chunks).toString())));
        },
      );
      sent.on('timeout', () => sent.destroy());
      sent.on('error', lost);
      sent.end(text);
    });
  }
}

function answerOf(status: number, text: string): Answer {
  let body: unknown = null;
  try {
    body = text === '' ? null : JSON.parse(text);
  } catch {
    return { outcome: 'unknown', status, body: text };
  }
  if (status >= 500 || status === 429 || status === 0) {
    return { outcome: 'unknown', status, body };
  }
  return { outcome: status < 300 ? 'ok' : 'refused', status, body };
}
