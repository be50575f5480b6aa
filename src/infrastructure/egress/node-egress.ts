/** Egress by Node's own http and https. See `egress.ts` for what it promises, `docs/decisions/0006-egress.md` for why so. */
import { lookup as systemLookup } from 'node:dns/promises';
import {
  Agent as HttpAgent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIPv6, type LookupFunction, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { canonicalText, isWithin, parseAddress } from './address.js';
import {
  addressRefusal,
  checkDestination,
  type CheckedDestination,
  type Destination,
  type EgressRules,
} from './destination.js';
import { Egress, EgressError, type EgressFailure, type EgressReply, type EgressRequest } from './egress.js';
import { BrokenHeadError, replyOf, replyOfBrokenHead, watchHead } from './reply.js';

/** DNS: every address of a name. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

export interface NodeEgressOptions {
  rules: EgressRules;
  /** Tells one error for whatever keeps it from a host: see `MemberEgress`. */
  hidesReasons?: boolean;
  /** The system's resolver, unless a test plays the far side. */
  resolve?: Resolve;
  /** Certificate authorities beside the system's, in PEM. */
  certificateAuthority?: string;
  connectTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const LONGEST_TIMER_MS = 2_147_483_647;
/** Of a reply's head; Node's own 16 KiB is less than some receivers send. */
const MAX_HEADER_BYTES = 128 * 1024;
/** A kept connection: unused, and in all. Most receivers close theirs after five seconds. */
const KEPT_IDLE_MS = 4_000;
const KEPT_MS = 50_000;
/** Kinds that would tell a name that is not there from one that is, but must not be called. */
const KEPT_FROM_HOST: readonly EgressFailure[] = ['barred', 'unreachable', 'timed-out'];
const MAX_FREE_SOCKETS = 16;
const MAX_DESTINATIONS = 1_000;

export class NodeEgress extends Egress {
  readonly #rules: EgressRules;
  readonly #hidesReasons: boolean;
  readonly #resolve: Resolve;
  readonly #certificateAuthority: string | undefined;
  readonly #connectTimeoutMs: number;
  /** Agents by who shares them; gone when nobody has used them for as long as a connection may live. */
  readonly #kept = new Map<string, { agent: HttpAgent | HttpsAgent; usedAtMs: number }>();

  readonly #destinations = new Map<string, CheckedDestination>();

  constructor(options: NodeEgressOptions) {
    super();
    this.#rules = options.rules;
    this.#hidesReasons = options.hidesReasons ?? false;
    this.#resolve = options.resolve ?? resolveBySystem;
    this.#certificateAuthority = options.certificateAuthority;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  }

  refusal(url: string): string | null {
    return checkDestination(url, this.#rules).reason;
  }

  /** The look at the text has the same outcome each time; the look at the address is never skipped. */
  #checked(url: string): CheckedDestination {
    const known = this.#destinations.get(url);
    if (known !== undefined) {
      return known;
    }
    const checked = checkDestination(url, this.#rules);
    if (this.#destinations.size >= MAX_DESTINATIONS) {
      this.#destinations.clear();
    }
    this.#destinations.set(url, checked);
    return checked;
  }

  async send(input: EgressRequest): Promise<EgressReply> {
    input.signal.throwIfAborted();
    const { destination, reason } = this.#checked(input.url);
    if (destination === null) {
      const why = reason.replace(/^the /, 'is refused, since the ');
      throw this.#told(new EgressError('barred', `This URL cannot be called: it ${why}.`));
    }
    const limits = new Limits(input);
    // What a signal ended says so by its reason; a socket would only say that it was cut.
    const explained = (error: unknown): unknown => {
      if (input.signal.aborted) {
        return input.signal.reason;
      }
      return limits.isTimedOut
        ? new EgressError('timed-out', 'The other side took too long.', error)
        : toEgressError(error);
    };
    let response: IncomingMessage;
    try {
      response = await this.#head(input, destination, limits).catch((error: unknown) => {
        if (!(error instanceof KeptConnectionClosed)) {
          throw error;
        }
        const { shared: _shared, ...alone } = input;
        return this.#head(alone, destination, limits);
      });
    } catch (error) {
      limits.lift();
      if (error instanceof BrokenHeadError && !input.signal.aborted) {
        return replyOfBrokenHead(error.head, error.cause);
      }
      // Once connected, a host that takes too long is one that may be called.
      throw limits.isTimedOut ? explained(error) : this.#told(explained(error));
    }
    response.once('close', () => limits.lift());
    return replyOf(response, input.replyLimitBytes, explained);
  }

  /** What kept a request from its host, as its caller may know it. */
  #told(error: unknown): unknown {
    return this.#hidesReasons && error instanceof EgressError && KEPT_FROM_HOST.includes(error.kind)
      ? new EgressError(
          'unreachable',
          'The host of this URL cannot be reached at a public address.',
          error,
          phaseTold(error),
        )
      : error;
  }

  #head(input: EgressRequest, destination: Destination, limits: Limits): Promise<IncomingMessage> {
    const { url, hostname, port, address } = destination;
    const isTls = url.protocol === 'https:';
    const options: RequestOptions & { servername?: string; ca?: string } = {
      method: input.method,
      host: hostname,
      port,
      path: `${url.pathname}${url.search}`,
      headers: { ...input.headers, 'accept-encoding': 'identity' },
      lookup: this.#lookup(destination),
      maxHeaderSize: MAX_HEADER_BYTES,
    };
    // Never the global agent: no setting of the environment (proxies) applies.
    const request = isTls
      ? httpsRequest({
          ...options,
          agent: this.#agent(input.shared, destination),
          servername: address === null ? hostname : '',
          minVersion: 'TLSv1.2',
          ...(this.#certificateAuthority === undefined ? {} : { ca: this.#certificateAuthority }),
        })
      : httpRequest({ ...options, agent: this.#agent(input.shared, destination) });
    limits.endsWith((error) => request.destroy(error));
    return new Promise<IncomingMessage>((resolve, reject) => {
      let isAnswered = false;
      let isConnected = false;
      let headSoFar: ReturnType<typeof watchHead> | null = null;
      const connecting = setTimeout(() => {
        request.destroy(new EgressError('timed-out', 'No connection could be made in time.', undefined, 'connect'));
      }, this.#connectTimeoutMs);
      request.on('socket', (socket: Socket) => {
        headSoFar = watchHead(request, socket);
        if (request.reusedSocket) {
          isConnected = true;
          clearTimeout(connecting);
          return;
        }
        if (input.shared !== undefined) {
          const ageing = setTimeout(() => retired.add(socket), KEPT_MS).unref();
          socket.once('close', () => clearTimeout(ageing));
        }
        socket.once('connect', () => this.#assertPermitted(socket, destination));
        socket.once(isTls ? 'secureConnect' : 'connect', () => {
          isConnected = true;
          clearTimeout(connecting);
        });
      });
      request.once('response', (response) => {
        // Closed instead of kept for the next: Node's agent keeps what it is not told to close.
        if (retired.has(response.socket)) {
          response.once('end', () => response.socket.destroy());
        }
        isAnswered = true;
        resolve(response);
      });
      request.on('error', (error) => {
        if (wasKeptAndClosed(request, error)) {
          reject(new KeptConnectionClosed());
          return;
        }
        const head = isParserError(error) ? headSoFar?.() : null;
        if (head != null) {
          reject(new BrokenHeadError(head, error));
        } else {
          reject(isConnected ? error : connectFailure(error));
        }
      });
      request.once('close', () => {
        clearTimeout(connecting);
        // An error is dear: it looks at its stack.
        if (!isAnswered) {
          reject(new EgressError('broken', 'The connection was closed before a reply.'));
        }
      });
      request.end(input.body);
    });
  }

  /** One of its own for a request that shares with nobody: nothing is kept alive. */
  #agent(shared: string | undefined, { url, hostname, port }: Destination): HttpAgent | HttpsAgent {
    const make = (keepAlive: boolean): HttpAgent | HttpsAgent => {
      const settings = keepAlive
        ? { keepAlive, maxFreeSockets: MAX_FREE_SOCKETS, timeout: KEPT_IDLE_MS, maxCachedSessions: 0 }
        : { keepAlive, maxCachedSessions: 0 };
      return url.protocol === 'https:' ? new HttpsAgent(settings) : new HttpAgent(settings);
    };
    if (shared === undefined) {
      return make(false);
    }
    const nowMs = performance.now();
    const name = JSON.stringify([shared, url.protocol, hostname, port]);
    const kept = this.#kept.get(name) ?? { agent: make(true), usedAtMs: nowMs };
    // Last used, last in the map: the first ones are those to let go.
    this.#kept.delete(name);
    this.#kept.set(name, kept);
    kept.usedAtMs = nowMs;
    for (const [other, { agent, usedAtMs }] of this.#kept) {
      if (nowMs - usedAtMs < KEPT_MS) {
        break;
      }
      this.#kept.delete(other);
      agent.destroy();
    }
    return kept.agent;
  }

  /** The hook by which a socket learns where to connect: it is told nothing that was not checked. */
  #lookup(destination: Destination): LookupFunction {
    return (hostname, options, callback) => {
      this.#permitted(hostname, destination).then(
        (addresses) => {
          const [first] = addresses;
          if (options.all === true) {
            callback(null, addresses);
          } else {
            callback(null, first.address, first.family);
          }
        },
        (error: unknown) => callback(error instanceof Error ? error : new Error('lookup failed', { cause: error }), []),
      );
    };
  }

  async #permitted(
    hostname: string,
    destination: Destination,
  ): Promise<[{ address: string; family: number }, ...{ address: string; family: number }[]]> {
    const found = await this.#resolve(hostname).catch((error: unknown) => {
      throw new EgressError('unreachable', 'The host name cannot be resolved.', error);
    });
    const checked = found.map((text) => {
      this.#assertAddress(text, destination);
      return { address: text, family: isIPv6(text) ? 6 : 4 };
    });
    const [first, ...others] = checked;
    if (first === undefined) {
      throw new EgressError('unreachable', 'The host name has no address.');
    }
    return [first, ...others];
  }

  /** A second look, at what the socket is in fact connected to: a literal address never passes the lookup hook. */
  #assertPermitted(socket: Socket, destination: Destination): void {
    try {
      this.#assertAddress(socket.remoteAddress ?? '', destination);
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error('not permitted', { cause: error }));
    }
  }

  #assertAddress(text: string, destination: Destination): void {
    const address = parseAddress(text);
    const reason = address === null ? 'no address' : addressRefusal(address, destination, this.#rules);
    if (reason !== null) {
      throw new EgressError(
        'barred',
        'The host must not be called: not every address of it is public, or this scheme or port is not for public hosts.',
      );
    }
    // A public address of this machine reaches services that trust the machine itself.
    if (address !== null && !isWithin(address, this.#rules.allowed) && isOfThisMachine(canonicalText(address))) {
      throw new EgressError('barred', 'The host must not be called: it is this server.');
    }
  }
}

/** Ends a request at its timeout, or with the caller's signal. Lifted when it is over: thousands a second leave no timers behind. */
class Limits {
  readonly #timer: NodeJS.Timeout;
  readonly #caller: AbortSignal;
  #ending: ((error: Error) => void) | null = null;
  #isOver = false;
  isTimedOut = false;

  constructor({ totalTimeoutMs, signal }: Pick<EgressRequest, 'totalTimeoutMs' | 'signal'>) {
    this.#caller = signal;
    signal.addEventListener('abort', this.#end);
    this.#timer = setTimeout(
      () => {
        this.isTimedOut = true;
        this.#end();
      },
      Math.min(totalTimeoutMs, LONGEST_TIMER_MS),
    );
  }

  /** What ends the request that is under way; at once where its time is over. */
  endsWith(ending: (error: Error) => void): void {
    this.#ending = ending;
    if (this.#isOver) {
      ending(new Error('ended by a limit'));
    }
  }

  lift(): void {
    clearTimeout(this.#timer);
    this.#caller.removeEventListener('abort', this.#end);
    this.#ending = null;
  }

  readonly #end = (): void => {
    this.#isOver = true;
    this.#ending?.(new Error('ended by a limit'));
  };
}

/** Sockets that have been kept for long enough. */
const retired = new WeakSet<Socket>();

/** A kept connection that the other side had closed before the request got there. */
class KeptConnectionClosed extends Error {}

function wasKeptAndClosed(request: ClientRequest, error: Error): boolean {
  return request.reusedSocket && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

/** Of Node's HTTP parser: the bytes are there, and are not quite HTTP. */
function isParserError(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && error.code.startsWith('HPE_');
}

/** A barred host fails like one without a connection, in this too. */
function phaseTold({ kind, phase }: EgressError): EgressError['phase'] {
  return kind === 'barred' ? 'connect' : phase;
}

/** What went wrong before there was a connection, TLS included, is about the host and not about one address on it. */
function connectFailure(error: Error): EgressError {
  const { kind, message, cause } = toEgressError(error);
  return kind === 'broken' && !(error instanceof EgressError)
    ? new EgressError('unreachable', 'No connection could be made to the host.', error, 'connect')
    : new EgressError(kind, message, cause, 'connect');
}

async function resolveBySystem(hostname: string): Promise<string[]> {
  return (await systemLookup(hostname, { all: true })).map(({ address }) => address);
}

function isOfThisMachine(canonical: string): boolean {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .some(({ address }) => {
      const own = parseAddress(address.replace(/%.*$/, ''));
      return own !== null && canonicalText(own) === canonical;
    });
}

/** Node's words for what went wrong, in ours; the original stays as the cause, for the log. */
function toEgressError(error: unknown): EgressError {
  if (error instanceof EgressError) {
    return error;
  }
  // Several addresses that all failed come as an AggregateError, which has the first one's code.
  const code =
    typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|ETIMEDOUT)$/.test(code)) {
    return new EgressError('unreachable', 'No connection could be made to the host.', error);
  }
  if (/^(CERT_|ERR_TLS|ERR_SSL|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|EPROTO|HOSTNAME_MISMATCH)/.test(code)) {
    return new EgressError(
      'unreachable',
      'No secure connection could be made: the certificate or the TLS version will not do.',
      error,
    );
  }
  return new EgressError('broken', 'The connection broke off before the whole reply was there.', error);
}
