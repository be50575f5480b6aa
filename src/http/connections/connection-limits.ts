/**
 * How many connections this process keeps open, in all and of one address, so that one machine's connections neither fill the memory nor keep
 * others out. Addresses that `TRUST_PROXY` names stand for many clients and are counted only in all. A /64 of IPv6 counts as one address.
 *
 * At a limit, the oldest connection that never carried an authenticated request makes way for the new one: whoever opens connections without a
 * credential only pushes out others without one. Where every connection has carried one, the new one is closed before anything is read from it.
 */
import type { Socket } from 'node:net';
import { compile } from '@fastify/proxy-addr';
import type { FastifyInstance } from 'fastify';
import { throttledAddress } from '../../kernel/client-address.js';
import type { Log } from '../../kernel/log.js';

const MIN_BETWEEN_WARNINGS_MS = 60_000;

export interface ConnectionLimits {
  total: number;
  perAddress: number;
  /** Addresses and CIDRs of trusted proxies. */
  proxies: readonly string[];
}

/** The connections of one address. */
interface Origin {
  open: number;
  /** Those that no authenticated request has come over, oldest first. */
  readonly strangers: Set<Socket>;
}

export class OpenConnections {
  readonly #isProxy: (address: string, index: number) => boolean;
  readonly #origins = new Map<string, Origin>();
  readonly #addresses = new Map<Socket, string>();
  /** Of all addresses, oldest first. */
  readonly #strangers = new Set<Socket>();
  #warnedAt = -Infinity;

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly log: Log,
  ) {
    this.#isProxy = compile([...limits.proxies]);
  }

  /** To be called once, before the server listens. */
  limit(fastify: FastifyInstance): void {
    fastify.server.on('connection', (socket: Socket) => this.#admit(socket));
  }

  /** An authenticated request came over this connection: it does not make way for others. */
  know(socket: Socket): void {
    const address = this.#addresses.get(socket);
    if (address !== undefined) {
      this.#strangers.delete(socket);
      this.#origins.get(address)?.strangers.delete(socket);
    }
  }

  #admit(socket: Socket): void {
    const remote = socket.remoteAddress ?? '';
    const address = throttledAddress(remote);
    const origin = this.#origins.get(address);
    const isFullOfAddress = (origin?.open ?? 0) >= this.limits.perAddress && !this.#isProxy(remote, 0);
    const isFull = this.#addresses.size >= this.limits.total;
    if (isFullOfAddress || isFull) {
      this.#warn(address);
      const [oldest] = isFullOfAddress ? (origin?.strangers ?? []) : this.#strangers;
      if (oldest === undefined) {
        socket.destroy();
        return;
      }
      this.#forget(oldest);
      oldest.destroy();
    }
    this.#remember(socket, address);
    socket.once('close', () => this.#forget(socket));
  }

  #remember(socket: Socket, address: string): void {
    const origin = this.#origins.get(address) ?? { open: 0, strangers: new Set<Socket>() };
    origin.open += 1;
    origin.strangers.add(socket);
    this.#origins.set(address, origin);
    this.#addresses.set(socket, address);
    this.#strangers.add(socket);
  }

  #forget(socket: Socket): void {
    const address = this.#addresses.get(socket);
    const origin = address === undefined ? undefined : this.#origins.get(address);
    if (address === undefined || origin === undefined) {
      return;
    }
    this.#addresses.delete(socket);
    this.#strangers.delete(socket);
    origin.strangers.delete(socket);
    origin.open -= 1;
    if (origin.open === 0) {
      this.#origins.delete(address);
    }
  }

  #warn(address: string): void {
    const now = performance.now();
    if (now - this.#warnedAt >= MIN_BETWEEN_WARNINGS_MS) {
      this.#warnedAt = now;
      this.log.warn('connections are being closed: too many are open', { open: this.#addresses.size, address });
    }
  }
}
