import type { FastifyInstance } from 'fastify';
import type { Socket } from 'node:net';

/** A client that takes nothing of a reply for so long is cut off: what waits for it is kept in this process's memory. */
const MAX_STALL_MS = 30_000;

/**
 * Cuts off clients that stop reading a reply. Node's own timer of a socket is used, since it sees the progress of one large write too;
 * a connection on which nothing waits to be sent (a claim that waits, a stream that is quiet) only starts it again.
 * To be called once, before routes.
 */
export function cutStalledReplies(fastify: FastifyInstance, stallMs = MAX_STALL_MS): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw;
    reply.raw.setTimeout(stallMs, () => cutOrWait(socket, stallMs));
    done();
  });
}

function cutOrWait(socket: Socket, stallMs: number): void {
  if (socket.writableLength > 0) {
    socket.destroy();
  } else {
    socket.setTimeout(stallMs);
  }
}
