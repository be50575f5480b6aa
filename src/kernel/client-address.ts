import { isIPv6 } from 'node:net';

/** Some proxies add the port of the client to its address. */
const WITH_PORT = /^(?:\[(?<ipv6>[^\]]+)\](?::\d+)?|(?<ipv4>\d+\.\d+\.\d+\.\d+):\d+)$/;
const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * The address that attempts are counted under. A household or a single server has a whole /64 of IPv6 (RFC 6177), so one address
 * of it counts as all.
 */
export function throttledAddress(from: string): string {
  const { ipv4, ipv6 } = WITH_PORT.exec(from)?.groups ?? {};
  const address = ipv4 ?? ipv6 ?? from;
  const [, mapped] = MAPPED_IPV4.exec(address) ?? [];
  if (mapped !== undefined) {
    return mapped;
  }
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) {
    return address;
  }
  const [head = '', tail] = plain.toLowerCase().split('::');
  const left = head.split(':').filter(Boolean);
  const right = (tail ?? '').split(':').filter(Boolean);
  const gap = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0');
  return [...left, ...gap, ...right]
    .slice(0, 4)
    .map((part) => part.replace(/^0+(?=.)/, ''))
    .join(':');
}
