/**
 * The one way out: every request that this server makes to an address somebody gave it goes through here, and nothing else in the
 * source may open a connection (a lint rule holds that).
 *
 * What every driver promises
 * - It talks to public unicast addresses, and to networks that the operator named for it; to nothing else, however the address is written, whatever a name resolves to, and whenever that changes. Where a name has several addresses, one that
 *   is refused refuses all: half a rebinding is one.
 * - The address that was checked is the one connected to; Host, SNI and the certificate are those of the name.
 * - https; plain http, ports other than 443 and 8443, and this server's own host and port only inside the operator's networks.
 * - No user name in a URL, no redirect followed, no proxy taken from the environment. Compression is not asked for; what
 *   comes compressed all the same is decoded for a caller that reads it, and its limit is of the decoded bytes.
 * - The status of a reply is told whatever else is wrong with the reply.
 * - A connection is kept for a next request only where the caller names who shares it (`shared`), which must never be two tenants; for a
 *   few seconds, and less than a minute in all, so that a name that moves is looked up again.
 * - It ends: DNS, TCP and TLS within the connect timeout, all of it within the total one, at once when the signal aborts; and a
 *   reply longer than asked for breaks off.
 *
 * What is refused or fails is an `EgressError`, whose message is fit for the person who gave the URL: no address, no internals.
 */

export interface EgressRequest {
  url: string;
  method: 'GET' | 'POST';
  headers: Readonly<Record<string, string>>;
  body?: string;
  /** From the start until the last byte of the reply has been read. */
  totalTimeoutMs: number;
  /** Bytes of the reply's body; one more is an error of kind `too-large`. */
  replyLimitBytes: number;
  /** Ends the request, and the reading of its reply, with its own reason. */
  signal: AbortSignal;
  /**
   * Requests of the same name, scheme, host and port may use one connection after another. Name one tenant's one destination. Where a
   * kept connection turns out to be closed, the request is sent once more on a new one: only for what the receiver can tell is the same.
   */
  shared?: string;
}

export interface EgressReply {
  /** As it came: redirects and failures too. */
  status: number;
  /** Names in lower case; of a repeated header the first. */
  headers: ReadonlyMap<string, string>;
  /** A Content-Encoding that `body` cannot undo; null where it can read the body. */
  unsupportedEncoding: string | null;
  /** The bytes, once, as they arrive, decoded. Leaving the loop ends the connection. @throws EgressError, the signal's reason */
  body: AsyncIterable<Uint8Array>;
  /**
   * Reads to the end and keeps nothing, so that the connection can serve the next. Cheaper than `body`, of which it takes the place. A
   * body that has not ended within so many milliseconds has its connection closed.
   * @throws EgressError, the signal's reason
   */
  drain(withinMs: number): Promise<void>;
  /** Ends the connection without reading on. */
  discard(): void;
}

/** `barred`: must not be talked to. The others may go better next time, but for `too-large`. */
export type EgressFailure = 'barred' | 'unreachable' | 'timed-out' | 'too-large' | 'broken';

export class EgressError extends Error {
  override readonly name = 'EgressError';

  constructor(
    readonly kind: EgressFailure,
    message: string,
    cause?: unknown,
    /** `connect`: there was no connection to the host (DNS, TCP or TLS), whatever the path. */
    readonly phase: 'connect' | 'exchange' = 'exchange',
  ) {
    super(message, { cause });
  }
}

export abstract class Egress {
  /** What is wrong with a destination as far as its text tells, for whoever saves it; null where nothing is. */
  abstract refusal(url: string): string | null;

  /** Sends one request; resolves when the reply's head is there. @throws EgressError, the signal's reason */
  abstract send(request: EgressRequest): Promise<EgressReply>;
}

/**
 * The way out to URLs that any member may give: `external_url` of assets and `callback` of tasks. It has networks of its own
 * (EGRESS_MEMBER_ALLOW_CIDRS), none unless the operator names some: what was opened for the agents and webhooks of admins
 * (EGRESS_ALLOW_CIDRS) is not open here. A name that does not resolve, an address that is not permitted and a host
 * that does not answer all give the same error, so that members cannot use it to find out which internal names and hosts exist.
 */
export abstract class MemberEgress extends Egress {}
