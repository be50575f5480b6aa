/**
 * Where a request may go, as far as the URL alone tells. Pure: the same answer when an agent is saved and when it is called; what a
 * name resolves to is checked where the connection is made (`node-egress.ts`).
 *
 * Three things are only for networks that the operator has named (`EgressRules.allowed`): plain http, ports other than 443 and 8443,
 * and this server itself. Where none is named they are refused here. Where some are, a name may turn out to be in one: it passes
 * here with `onlyAllowedNetworks`, and the connection is held to it.
 */
import { type Address, isPublic, isWithin, type Network, parseAddress } from './address.js';

export interface EgressRules {
  /** Networks that may be talked to although they are not public. */
  readonly allowed: readonly Network[];
  /** Where this server is reached. */
  readonly own: readonly { readonly hostname: string; readonly port: number }[];
}

export interface Destination {
  readonly url: URL;
  /** Without brackets, in lower case. */
  readonly hostname: string;
  readonly port: number;
  /** The address, where the host is one. */
  readonly address: Address | null;
  /** Why only the operator's own networks will do; null where the public Internet does. */
  readonly onlyAllowedNetworks: string | null;
}

export type CheckedDestination =
  | { readonly destination: Destination; readonly reason: null }
  | { readonly destination: null; readonly reason: string };

const PUBLIC_PORTS: readonly number[] = [443, 8443];
const MAX_CHARACTERS = 2_048;
/** Blanks, control characters and backslashes, which a URL parser drops or turns around in silence. */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const DOUBTFUL = /[\s\u0000-\u0020\u007f\\]/;
const NOT_PUBLIC = 'the address is not one of the public Internet, and no network that the operator allows holds it';

/** The destination of a URL, or a sentence's end that says what is wrong with it ("must …", "the …"). */
export function checkDestination(text: string, rules: EgressRules): CheckedDestination {
  if (text.length > MAX_CHARACTERS) {
    return refused(`must be at most ${MAX_CHARACTERS} characters`);
  }
  if (DOUBTFUL.test(text) || !URL.canParse(text)) {
    return refused('must be an absolute URL');
  }
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return refused('must be an https URL');
  }
  if (url.username !== '' || url.password !== '' || /^[^/]*\/\/[^/?#]*@/.test(text)) {
    return refused('must not hold a user name or password');
  }
  if (url.hash !== '') {
    return refused('must not have a fragment');
  }
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (hostname.endsWith('.')) {
    return refused('must name a host without a dot at its end');
  }
  const address = parseAddress(hostname);
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  const onlyAllowedNetworks = whyOnlyAllowed(url, hostname, port, rules);
  const destination: Destination = { url, hostname, port, address, onlyAllowedNetworks };
  if (address !== null) {
    const reason = addressRefusal(address, destination, rules);
    return reason === null ? { destination, reason: null } : refused(reason);
  }
  if (rules.allowed.length === 0) {
    const reason = onlyAllowedNetworks ?? (isThisMachine(hostname) ? NOT_PUBLIC : null);
    return reason === null ? { destination, reason: null } : refused(reason);
  }
  return { destination, reason: null };
}

/** What speaks against connecting to this address for this destination; null where nothing does. */
export function addressRefusal(
  address: Address,
  destination: Pick<Destination, 'onlyAllowedNetworks'>,
  rules: EgressRules,
): string | null {
  if (isWithin(address, rules.allowed)) {
    return null;
  }
  return isPublic(address) ? destination.onlyAllowedNetworks : NOT_PUBLIC;
}

function whyOnlyAllowed(url: URL, hostname: string, port: number, rules: EgressRules): string | null {
  if (url.protocol === 'http:') {
    return 'must be an https URL; plain http is for networks that the operator allows';
  }
  if (!PUBLIC_PORTS.includes(port)) {
    return `must use port ${PUBLIC_PORTS.join(' or ')}; other ports are for networks that the operator allows`;
  }
  return rules.own.some((own) => own.hostname === hostname && own.port === port)
    ? 'must not be this server itself'
    : null;
}

/** RFC 6761: names that mean the machine itself, whatever a resolver says. */
function isThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost');
}

function refused(reason: string): CheckedDestination {
  return { destination: null, reason };
}
