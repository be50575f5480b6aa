/**
 * Replies that are sent before the request's body has arrived: a refusal by size, type, credential or role. A server that closes the
 * connection with bytes still unread makes the system reset it, and the client gets `EPIPE` or `ECONNRESET` in place of the reply. So
 * the reply is sent whole at once, the rest of the body is read and dropped, and only then does the reply end and the connection close.
 * That is bounded in bytes and time; a sender that goes on after it is cut off.
 */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isHeldBack } from './expect-continue.js';

/** Most of a body that is read to drop it. */
const MAX_DRAINED_BYTES = 64 * 1024 * 1024;
/** Longest wait for the whole of it, and for its next piece. */
const MAX_DRAIN_MS = 30_000;
const MAX_DRAIN_IDLE_MS = 5_000;

/** Makes every reply of this instance wait for the body of its request to arrive before the connection closes. To be called once, before routes. */
export function drainUnreadBodies(fastify: FastifyInstance): void {
  const underWay = new Set<() => void>();
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (!isStillArriving(request.raw) || !isWhole(payload) || hasNoBody(request, reply)) {
      done(null, payload);
      return;
    }
    const bytes = Buffer.from(payload ?? '');
    void reply.header('content-length', bytes.length);
    done(null, Readable.from(thenDrained(bytes, request.raw, underWay), { objectMode: false }));
  });
  // A stop does not wait for what is dropped anyway.
  fastify.addHook('preClose', (done) => {
    for (const stop of underWay) {
      stop();
    }
    done();
  });
}

function isStillArriving(raw: IncomingMessage): boolean {
  const { headers } = raw;
  return (
    !raw.complete &&
    !raw.destroyed &&
    !isHeldBack(raw) &&
    (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0')
  );
}

function isWhole(payload: unknown): payload is string | Buffer | null | undefined {
  return typeof payload === 'string' || Buffer.isBuffer(payload) || payload === null || payload === undefined;
}

function hasNoBody(request: FastifyRequest, reply: FastifyReply): boolean {
  return request.method === 'HEAD' || reply.statusCode === 204 || reply.statusCode === 304;
}

async function* thenDrained(
  reply: Buffer,
  body: IncomingMessage,
  underWay: Set<() => void>,
): AsyncGenerator<Buffer, void> {
  if (reply.length > 0) {
    yield reply;
  }
  if (!(await drained(body, underWay))) {
    body.destroy();
  }
}

/** Reads and drops what is left; false where the sender is too slow, sends too much, or the server stops. */
function drained(body: IncomingMessage, underWay: Set<() => void>): Promise<boolean> {
  return new Promise((resolve) => {
    let bytes = 0;
    const end = (isWhole: boolean): void => {
      clearTimeout(idle);
      clearTimeout(deadline);
      underWay.delete(stop);
      body.off('data', onData).off('end', onEnd).off('close', onEnd).off('error', onEnd);
      resolve(isWhole);
    };
    const stop = (): void => end(false);
    const onEnd = (): void => end(true);
    const onData = (piece: Uint8Array): void => {
      bytes += piece.length;
      idle.refresh();
      if (bytes > MAX_DRAINED_BYTES) {
        stop();
      }
    };
    const idle = setTimeout(stop, MAX_DRAIN_IDLE_MS).unref();
    const deadline = setTimeout(stop, MAX_DRAIN_MS).unref();
    underWay.add(stop);
    if (body.complete || body.destroyed) {
      end(true);
      return;
    }
    body.on('data', onData).on('end', onEnd).on('close', onEnd).on('error', onEnd);
    body.resume();
  });
}
