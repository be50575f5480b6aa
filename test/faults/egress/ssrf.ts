/**
 * Tries to make the one way out call what it must not: loopback, where a canary listens, however it is spelled, named, renamed between two
 * questions, or redirected to. The rules are those of an operator who allows one network of their own, so that plain http and any port
 * get past the look at the text and nothing but the address is left to refuse.
 *
 * That the canary can see is shown by the same tries under a guard that is broken on purpose (`Guard`): one that takes loopback for a
 * network of the operator's, and a caller that follows redirects.
 */
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net';
import { parseNetwork } from '../../../src/infrastructure/egress/address.js';
import { EgressError, type EgressRequest } from '../../../src/infrastructure/egress/egress.js';
import { NodeEgress } from '../../../src/infrastructure/egress/node-egress.js';
import { HOSTILE_NAMES, hostileUrls } from './hostile.js';
import { NameServer } from './name-server.js';

/** On loopback, and allowed: what a name leads to when it behaves. */
const GOOD = '127.0.0.2';

export interface SsrfReport {
  urls: number;
  names: number;
  redirects: number;
  requests: number;
  /** Requests that went where they may. */
  permitted: number;
  questions: number;
  /** Connections that the canary saw, by what made them. */
  seen: number;
  seenBy: { urls: number; names: number; redirects: number };
  /** Outcomes that were neither refused as they should be nor permitted. */
  wrong: string[];
}

/** `broken`: every address of loopback passes, and redirects are followed. */
type Guard = 'ours' | 'broken';

/** @param rounds how often everything is tried; each round asks the name server anew */
export async function trySsrf(rounds: number, guard: Guard = 'ours'): Promise<SsrfReport> {
  let seen = 0;
  const listen = (host: string, port: number): Server =>
    createSocketServer((socket) => {
      seen += 1;
      socket.destroy();
    }).listen(port, host);
  const canary = listen('127.0.0.1', 0);
  await once(canary, 'listening');
  const { port } = canary.address() as AddressInfo;
  // Where the machine has IPv6.
  const canary6 = listen('::1', port);
  const hasIpv6 = await Promise.race([
    once(canary6, 'listening').then(() => true),
    once(canary6, 'error').then(() => false),
  ]);

  const target = `http://127.0.0.1:${port}/`;
  const decoy = createServer((request, response) => {
    const [, status = '204', place] = /^\/(\d{3})(?:\/(.*))?$/.exec(request.url ?? '') ?? [];
    response.writeHead(Number(status), place === undefined ? {} : { location: decodeURIComponent(place) }).end();
  });
  decoy.listen(port, GOOD);
  await once(decoy, 'listening');

  const names = await NameServer.start();
  const resolver = new Resolver({ timeout: 10_000, tries: 4 });
  resolver.setServers([names.address]);
  const resolve = async (hostname: string): Promise<string[]> => {
    const found = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    return found.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  };
  const own = [{ hostname: 'taskyard.example', port: 443 }];
  const allowed = (guard === 'ours' ? [`${GOOD}/32`] : ['127.0.0.0/8', '0.0.0.0/32', '::1/128']).map(parseNetwork);
  const egress = new NodeEgress({ rules: { allowed, own }, resolve });
  const strict = new NodeEgress({ rules: { allowed: [], own }, resolve: () => Promise.resolve(['127.0.0.1']) });

  const report: SsrfReport = {
    urls: 0,
    names: 0,
    redirects: 0,
    requests: 0,
    permitted: 0,
    questions: 0,
    seen: 0,
    seenBy: { urls: 0, names: 0, redirects: 0 },
    wrong: [],
  };
  const send = async (way: NodeEgress, url: string): Promise<string> => {
    report.requests += 1;
    const request: EgressRequest = {
      url,
      method: 'POST',
      headers: {},
      body: '{}',
      totalTimeoutMs: 60_000,
      replyLimitBytes: 1024,
      signal: new AbortController().signal,
      // As deliveries are sent: a kept connection must not be a way around either.
      shared: 'one tenant',
    };
    try {
      const reply = await way.send(request);
      for await (const _bytes of reply.body);
      const place = reply.headers.get('location');
      if (guard === 'broken' && place !== undefined) {
        await send(way, new URL(place, url).href);
      }
      return String(reply.status);
    } catch (error) {
      return error instanceof EgressError ? error.kind : String(error);
    }
  };

  let counted = 0;
  const count = (by: keyof SsrfReport['seenBy']): void => {
    report.seenBy[by] += seen - counted;
    counted = seen;
  };
  for (let round = 0; round < rounds; round += 1) {
    const urls = hostileUrls(port);
    report.urls = urls.length;
    for (const url of urls) {
      const outcomes = [await send(egress, url), await send(strict, url)];
      if (strict.refusal(url) === null || outcomes.some((outcome) => outcome !== 'barred')) {
        // A name that nobody has ever heard of is unreachable where names may be asked for.
        if (!(outcomes[0] === 'unreachable' && outcomes[1] === 'barred')) {
          report.wrong.push(`${url}: ${outcomes.join(', ')}`);
        }
      }
    }
    count('urls');
    report.names = HOSTILE_NAMES.length;
    for (const [index, script] of HOSTILE_NAMES.entries()) {
      const name = `n${index}-${round}.example`;
      names.say(
        name,
        script.map((answer) => answer.map((address) => (address === 'GOOD' ? GOOD : address))),
      );
      for (let turn = 0; turn < 4; turn += 1) {
        // By itself, so that every request asks anew.
        const outcome = await send(egress, `http://${name}:${port}/`);
        const isGood = (script[Math.min(turn, script.length - 1)] ?? []).every((address) => address === 'GOOD');
        report.permitted += outcome === '204' ? 1 : 0;
        // What was connected to while the name behaved may be used once more.
        if (outcome !== 'barred' && !(outcome === '204' && (isGood || turn > 0))) {
          report.wrong.push(`${name} ${JSON.stringify(script)} turn ${turn}: ${outcome}`);
        }
      }
    }
    count('names');
    const places = [
      target,
      `https://127.0.0.1:${port}/`,
      `//127.0.0.1:${port}/`,
      `http://[::1]:${port}/`,
      `http://localhost:${port}/`,
    ];
    const redirects = [301, 302, 303, 307, 308].flatMap((status) => places.map((place) => ({ status, place })));
    report.redirects = redirects.length;
    for (const { status, place } of redirects) {
      const outcome = await send(egress, `http://${GOOD}:${port}/${status}/${encodeURIComponent(place)}`);
      if (outcome !== String(status)) {
        report.wrong.push(`a redirect to ${place}: ${outcome}`);
      }
    }
    count('redirects');
  }
  report.questions = names.asked;
  report.seen = seen;
  await names.stop();
  decoy.closeAllConnections();
  for (const server of [canary, decoy, ...(hasIpv6 ? [canary6] : [])]) {
    server.close();
    await once(server, 'close');
  }
  return report;
}
