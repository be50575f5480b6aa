/**
 * `Expect: 100-continue` (RFC 9110, 10.1.1): a client that sends it holds its body back until it is told to go on. It is told so only once the
 * request is admitted, so that a body that would be refused is never sent. Node by itself would ask for every body.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** Requests whose clients still wait for the word. */
const heldBack = new WeakSet<IncomingMessage>();

/** True where the body of this request is not on its way, and will not be. */
export function isHeldBack(request: IncomingMessage): boolean {
  return heldBack.has(request);
}

/** To be called once, after the hooks that admit requests. */
export function continueAdmitted(fastify: FastifyInstance): void {
  fastify.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    heldBack.add(request);
    fastify.server.emit('request', request, response);
  });
  fastify.addHook('preParsing', (request, reply, payload, done) => {
    if (heldBack.delete(request.raw)) {
      reply.raw.writeContinue();
    }
    done(null, payload);
  });
}
