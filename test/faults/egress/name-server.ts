import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const A = 1;
const AAAA = 28;

/** Answers of a name: each question gets the next, the last one for ever. */
export type Script = readonly (readonly string[])[];

/** A DNS server on loopback that says of a name something else each time it is asked, with nothing to be kept. */
export class NameServer {
  asked = 0;
  readonly #scripts = new Map<string, Script>();
  readonly #turns = new Map<string, number>();

  private constructor(
    private readonly socket: Socket,
    readonly address: string,
  ) {}

  static async start(): Promise<NameServer> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const server = new NameServer(socket, `127.0.0.1:${socket.address().port}`);
    socket.on('message', (query, from) => socket.send(server.#answer(query), from.port, from.address));
    return server;
  }

  /** Says so of the name from now on; each question for A (and, apart from it, AAAA) is a turn. */
  say(name: string, script: Script): void {
    this.#scripts.set(name, script);
  }

  async stop(): Promise<void> {
    this.socket.close();
    await once(this.socket, 'close');
  }

  #answer(query: Buffer): Buffer {
    this.asked += 1;
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    const name = labels.join('.').toLowerCase();
    const script = this.#scripts.get(name) ?? [];
    const turn = this.#turns.get(`${name} ${type}`) ?? 0;
    this.#turns.set(`${name} ${type}`, turn + 1);
    const said = script[Math.min(turn, script.length - 1)] ?? [];
    const records = said
      .filter((address) => (address.includes(':') ? AAAA : A) === type)
      .map((address) => {
        const bytes = address.includes(':') ? v6(address) : Buffer.from(address.split('.').map(Number));
        const head = Buffer.alloc(12);
        head.writeUInt16BE(0xc00c, 0);
        head.writeUInt16BE(type, 2);
        head.writeUInt16BE(1, 4);
        head.writeUInt16BE(bytes.length, 10);
        return Buffer.concat([head, bytes]);
      });
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(script.length === 0 ? 0x8183 : 0x8180, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, question, ...records]);
  }
}

/** Eight groups of hexadecimals, with one `::` perhaps. */
function v6(address: string): Buffer {
  const [left = '', right] = address.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [head, tail] = [groups(left), groups(right ?? '')];
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
