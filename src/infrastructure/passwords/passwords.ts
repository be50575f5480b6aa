/**
 * Passwords at rest: scrypt (RFC 7914) with a random salt, in the PHC string form, so that each hash says how it was made and a
 * change of cost needs no migration.
 *
 * The default cost, N=2^15 r=8 p=3, is one of the equivalent settings of the OWASP password storage cheat sheet: 32 MiB and about a fifth of
 * a second. The usual N=2^17 p=1 wants 128 MiB for each sign-in under way, more than the rest of the server. Only so many are
 * worked on at once; the others wait, so that a burst of sign-ins neither takes memory without bound nor fills libuv's threads,
 * which files and DNS need too. Callers that are authenticated have a queue of their own, so that no flood of sign-ins delays them.
 */
import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto';

interface Cost {
  /** log2 of N. */
  ln: number;
  r: number;
  p: number;
}

const BLOCK_SIZE = 8;
const PARALLELIZATION = 3;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const FORM = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;
/** A stored hash may be of another cost than today's, but not of one that would exhaust the process. */
const MAX_LN = 17;

/** Who waits for the hash: somebody who signs in, or a caller who is authenticated already. */
export type HashCaller = 'sign-in' | 'authenticated';

/**
 * The PHC string of a password. Compatibility forms of the same characters count as the same password (NFKC).
 * @param ln log2 of N
 */
export async function hashPassword(password: string, ln: number): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const cost = costOf(ln);
  return format(cost, salt, await queues.authenticated.run(() => derived(password, salt, cost)));
}

/**
 * True where the password is the one hashed. With no hash (nobody has this name, or they have no password) it does the same work
 * and is false, so that the time of an answer does not tell who exists.
 * @param ln log2 of the N that new hashes are made with
 */
export async function verifyPassword(
  password: string,
  hash: string | null,
  ln: number,
  caller: HashCaller,
): Promise<boolean> {
  const stored = hash === null ? null : parse(hash);
  const { cost, salt, digest } = stored ?? {
    cost: costOf(ln),
    salt: Buffer.alloc(SALT_BYTES),
    digest: Buffer.alloc(HASH_BYTES),
  };
  const same = timingSafeEqual(await queues[caller].run(() => derived(password, salt, cost)), digest);
  return same && stored !== null;
}

function costOf(ln: number): Cost {
  return { ln, r: BLOCK_SIZE, p: PARALLELIZATION };
}

function format(cost: Cost, salt: Buffer, digest: Buffer): string {
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${unpadded(salt)}$${unpadded(digest)}`;
}

function parse(hash: string): { cost: Cost; salt: Buffer; digest: Buffer } | null {
  const [, ln, r, p, salt, digest] = FORM.exec(hash) ?? [];
  if (ln === undefined || r === undefined || p === undefined || salt === undefined || digest === undefined) {
    return null;
  }
  const cost = { ln: Number(ln), r: Number(r), p: Number(p) };
  const sane = cost.ln >= 10 && cost.ln <= MAX_LN && cost.r >= 1 && cost.p >= 1;
  return sane ? { cost, salt: Buffer.from(salt, 'base64'), digest: Buffer.from(digest, 'base64') } : null;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

/** Work that waits for others of its kind only. */
class HashQueue {
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;

  constructor(private readonly concurrency: number) {}

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#underWay >= this.concurrency) {
      // What ends hands its place on, so the count stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#underWay += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#underWay -= 1;
      } else {
        next();
      }
    }
  }
}

const queues = { 'sign-in': new HashQueue(2), authenticated: new HashQueue(1) } as const;

function derived(password: string, salt: Buffer, { ln, r, p }: Cost): Promise<Buffer> {
  const N = 2 ** ln;
  // Node refuses what needs more than `maxmem`; the table takes 128·N·r bytes, and a little more is allocated around it.
  const options: ScryptOptions = { N, r, p, maxmem: 128 * N * r + 128 * r * p + 1024 * 1024 };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, HASH_BYTES, options, (error, key) => {
      if (error === null) {
        resolve(key);
      } else {
        reject(error);
      }
    });
  });
}
