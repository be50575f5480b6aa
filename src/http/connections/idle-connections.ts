import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/**
 * At a stop, closes connections on which nothing was ever sent. Browsers and HTTP clients open some ahead of need; to Node's server
 * they are neither idle nor busy, so its close would wait for them until they time out.
 */
export function closeIdleConnections(fastify: FastifyInstance): void {
  const open = new Set<Socket>();
  fastify.server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  fastify.addHook('preClose', (done) => {
    for (const socket of open) {
      if (socket.bytesRead === 0) {
        socket.destroy();
      }
    }
    done();
  });
}
