import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** One request as it came. */
export interface Received {
  path: string;
  id: string;
  headers: IncomingHttpHeaders;
  text: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into bodies of every shape
  body: any;
}

type Answer = (received: Received, response: ServerResponse, request: IncomingMessage) => void;

const PATIENCE_MS = 60_000;

/** The far side of webhooks: keeps what it is sent, and answers as it is told. */
export class Receiver {
  readonly received: Received[] = [];
  /** 204 unless a test says otherwise. */
  answer: Answer = (_received, response) => response.writeHead(204).end();
  connections = 0;
  readonly #waiting = new Set<() => void>();

  private constructor(
    readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Receiver> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const receiver = new Receiver(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', () => (receiver.connections += 1));
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => receiver.#take(request, response, Buffer.concat(chunks).toString()));
    });
    return receiver;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  /** What came at the path. */
  at(path: string): Received[] {
    return this.received.filter((one) => one.path === path);
  }

  /** Resolves once it holds of what was received so far; looked at with each request. */
  async until(holds: () => boolean): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`not received: ${JSON.stringify(this.received.map(({ path, id }) => [path, id]))}`));
      }, PATIENCE_MS);
      const look = (): void => {
        if (holds()) {
          clearTimeout(timer);
          this.#waiting.delete(look);
          resolve();
        }
      };
      this.#waiting.add(look);
    });
  }

  #take(request: IncomingMessage, response: ServerResponse, text: string): void {
    const one = {
      path: request.url ?? '',
      id: String(request.headers['webhook-id']),
      headers: request.headers,
      text,
      body: JSON.parse(text),
    };
    this.received.push(one);
    this.answer(one, response, request);
    for (const look of [...this.#waiting]) look();
  }
}

/** True where the library that receivers use, as it stands, takes the request for genuine under the secret. */
export function isGenuine(secret: string, { text, headers }: Received): boolean {
  try {
    new Webhook(secret).verify(text, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}
