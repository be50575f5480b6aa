/**
 * How many connections this process keeps open, in all and of one address, so that one machine's connections neither fill the
 * memory nor keep others out. A connection past a limit is closed before anything is read from it. Addresses that `TRUST_PROXY` names
 * stand for many clients and are counted only in all.
 */
import type { Socket } from 'node:net';
import { compile } from '@fastify/proxy-addr';
import type { FastifyInstance } from 'fastify';
import type { Log } from '../kernel/log.js';

const MIN_BETWEEN_WARNINGS_MS = 60_000;

export interface ConnectionLimits {
  total: number;
  perAddress: number;
  /** Addresses and CIDRs of trusted proxies. */
  proxies: readonly string[];
}

/** To be called once, before the server listens. */
export function limitConnections(fastify: FastifyInstance, limits: ConnectionLimits, log: Log): void {
  const isProxy = compile([...limits.proxies]);
  const counts = new Map<string, number>();
  let open = 0;
  let warnedAt = -Infinity;
  const warn = (address: string): void => {
    const now = performance.now();
    if (now - warnedAt >= MIN_BETWEEN_WARNINGS_MS) {
      warnedAt = now;
      log.warn('connections are being refused: too many are open', { open, address });
    }
  };
  fastify.server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const ofAddress = counts.get(address) ?? 0;
    if (open >= limits.total || (ofAddress >= limits.perAddress && !isProxy(address, 0))) {
      warn(address);
      socket.destroy();
      return;
    }
    open += 1;
    counts.set(address, ofAddress + 1);
    socket.once('close', () => {
      open -= 1;
      const left = (counts.get(address) ?? 1) - 1;
      if (left > 0) {
        counts.set(address, left);
      } else {
        counts.delete(address);
      }
    });
  });
}
