/**
 * Which network addresses may be talked to. An address is canonicalised first (IPv4 mapped into IPv6 is IPv4), then it must be of
 * the one class "public unicast"; everything else is refused without being named, so that a class nobody thought of is refused
 * too. Registries: IANA IPv4 and IPv6 special-purpose addresses, by way of ipaddr.js.
 */
import ipaddr from 'ipaddr.js';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A block of addresses, from its CIDR text. */
export interface Network {
  readonly base: Address;
  readonly bits: number;
}

/** The address a text denotes, or null; only the forms that addresses are written in, none of the odd numerals. */
export function parseAddress(text: string): Address | null {
  const isOrdinary = text.includes(':') ? ipaddr.IPv6.isValid(text) : ipaddr.IPv4.isValidFourPartDecimal(text);
  return isOrdinary ? ipaddr.process(text) : null;
}

/** @throws Error for a text that is no CIDR; the configuration has been checked before */
export function parseNetwork(cidr: string): Network {
  const [base, bits] = ipaddr.parseCIDR(cidr);
  return { base, bits };
}

/** One text for one address, however it was written. */
export function canonicalText(address: Address): string {
  return address.toNormalizedString();
}

export function isWithin(address: Address, networks: readonly Network[]): boolean {
  return networks.some(({ base, bits }) => {
    if (address instanceof ipaddr.IPv4) {
      return base instanceof ipaddr.IPv4 && address.match(base, bits);
    }
    return base instanceof ipaddr.IPv6 && address.match(base, bits);
  });
}

/** Where all unicast of the public Internet lies; what is outside is unassigned today and could mean anything tomorrow. */
const GLOBAL_IPV6 = parseNetwork('2000::/3');
/** Looks public, but is answered by the host that a virtual machine in Azure runs on. */
const HOST_SERVICES = parseNetwork('168.63.129.16/32');

/** True for addresses of the public Internet and nothing else. */
export function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') {
    return false;
  }
  if (address instanceof ipaddr.IPv4) {
    return !isWithin(address, [HOST_SERVICES]);
  }
  return isWithin(address, [GLOBAL_IPV6]) && !isTunnelToIpv4(address);
}

// ISATAP (RFC 5214): the interface identifier holds an IPv4 address, of any class, that a router would send to.
function isTunnelToIpv4(address: ipaddr.IPv6): boolean {
  const [, , , , high, low] = address.parts;
  return low === 0x5efe && (high === 0 || high === 0x200);
}
