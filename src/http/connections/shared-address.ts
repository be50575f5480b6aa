/**
 * Notices that a proxy stands in front which the configuration does not name. Everybody then has the proxy's address: wrong passwords and wrong
 * keys of a stranger are counted for all, and so are connections.
 *
 * The sign of it: a hundred requests with valid credentials in a row, all from one private address. From the machine's own address they count
 * only where a header names another client, since a server that is tried out or used by local programs is asked from there as well.
 */
import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import { AppConfig } from '../../config/app-config.js';
import { Clock } from '../../kernel/clock.js';
import { Log } from '../../kernel/log.js';

const MIN_REQUESTS = 100;
/** Requests longer ago than this are not recent, and there is one warning in so long a time. */
const HOUR_MS = 3_600_000;
const FORWARDING_HEADERS = ['x-forwarded-for', 'forwarded', 'x-real-ip'] as const;

@Injectable()
export class SharedAddress {
  readonly #isAsked: boolean;
  #address = '';
  #requests = 0;
  #lastMs = 0;
  #isSuspect = false;
  #warnedMs: number | null = null;

  constructor(
    config: AppConfig,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {
    this.#isAsked = config.trustProxy === false;
  }

  /** A request whose credential was right. */
  note(request: Pick<FastifyRequest, 'ip' | 'headers'>): void {
    if (!this.#isAsked) {
      return;
    }
    const nowMs = this.clock.nowMs();
    if (request.ip !== this.#address || nowMs - this.#lastMs >= HOUR_MS) {
      this.#address = request.ip;
      this.#requests = 0;
      this.#isSuspect = false;
    }
    this.#lastMs = nowMs;
    this.#requests += 1;
    if (this.#requests >= MIN_REQUESTS && !this.#isSuspect) {
      this.#isSuspect = mayBeProxy(request);
    }
    if (this.#isSuspect && (this.#warnedMs === null || nowMs - this.#warnedMs >= HOUR_MS)) {
      this.#warnedMs = nowMs;
      this.log.warn(adviceFor(this.#address));
    }
  }

  /** What an operator should know of it now, in a sentence; null where there is nothing. */
  get warning(): string | null {
    return this.#isSuspect && this.clock.nowMs() - this.#lastMs < HOUR_MS ? adviceFor(this.#address) : null;
  }
}

function adviceFor(ip: string): string {
  const address = ipaddr.process(ip).toString();
  return (
    `All recent requests come from the private address ${address}, and TRUST_PROXY is not set. If that is a proxy, set TRUST_PROXY=${address} ` +
    '(or the network of the proxies): until then all clients share the limits of one address.'
  );
}

function mayBeProxy({ ip, headers }: Pick<FastifyRequest, 'ip' | 'headers'>): boolean {
  switch (ipaddr.isValid(ip) ? ipaddr.process(ip).range() : 'unknown') {
    case 'private':
    case 'uniqueLocal':
    case 'linkLocal':
    case 'carrierGradeNat':
      return true;
    case 'loopback':
      return FORWARDING_HEADERS.some((name) => headers[name] !== undefined);
    default:
      return false;
  }
}
