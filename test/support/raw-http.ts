import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';

export interface RawRequest {
  method: string;
  /** Sent as it is: nothing is escaped or put right. */
  path: string;
  headers: Record<string, string | string[]>;
  body: Buffer | null;
}

export interface RawReply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** A client that leaves requests as wrong as they are. A reply that is a stream is let go once its head is there. */
export class RawClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  constructor(private readonly url: string) {}

  send({ method, path, headers, body }: RawRequest): Promise<RawReply> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(this.url);
      const length = body === null ? {} : { 'content-length': String(body.length) };
      const request = httpRequest({
        hostname,
        port,
        agent: this.#agent,
        method,
        path,
        headers: { ...length, ...headers },
      });
      request.on('error', reject);
      request.on('response', (response) => {
        const reply = { status: response.statusCode ?? 0, headers: response.headers };
        if (response.headers['content-type']?.startsWith('text/event-stream') === true) {
          resolve({ ...reply, text: '' });
          request.destroy();
          return;
        }
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ ...reply, text: Buffer.concat(chunks).toString('utf8') }));
        response.on('error', reject);
      });
      request.end(body ?? undefined);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** What the server says to these bytes until it closes the connection; the promise is kept only once it has. */
export function sendBytes(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let said = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      said += text;
    });
    socket.on('close', () => resolve(said));
    socket.on('error', (error: Error & { code?: string }) => {
      // A server that has said its last word may reset what still arrives.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
  });
}
