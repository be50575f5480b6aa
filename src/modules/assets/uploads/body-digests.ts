/**
 * Digests that a request's headers name of its bytes, which are held to them: `Content-MD5` (RFC 1864), `Content-Digest` and `Repr-Digest`
 * (RFC 9530), and the checksums of S3 clients (`x-amz-checksum-*`), in a header or a trailer.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { crc32 } from 'node:zlib';
import { DomainError, invalid } from '../../../kernel/errors.js';

type Algorithm = 'md5' | 'sha1' | 'sha256' | 'sha512' | 'crc32';

const BYTES: Readonly<Record<Algorithm, number>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64, crc32: 4 };

/** Of RFC 9530. Others may be passed over, and its outdated ones are. */
const OF_DIGEST_FIELDS: Readonly<Record<string, Algorithm>> = { 'sha-256': 'sha256', 'sha-512': 'sha512' };

/** Of S3. `crc32c` and `crc64nvme` are passed over: Node.js does not have them. */
const OF_S3: Readonly<Record<string, Algorithm>> = {
  'x-amz-checksum-crc32': 'crc32',
  'x-amz-checksum-sha1': 'sha1',
  'x-amz-checksum-sha256': 'sha256',
};

interface Expected {
  header: string;
  algorithm: Algorithm;
  digest: Buffer;
}

/** Counts the digests that a request names of its bytes. */
export class BodyDigests {
  readonly #expected: Expected[];
  readonly #algorithms: ReadonlySet<Algorithm>;
  readonly #hashes = new Map<Algorithm, { update: (piece: Uint8Array) => void; digest: () => Buffer }>();

  /** @throws DomainError `invalid-request` where a header is malformed */
  constructor(headers: IncomingHttpHeaders) {
    this.#expected = expectedBy(headers);
    const trailers = String(headers['x-amz-trailer'] ?? '').toLowerCase();
    const inTrailers = trailers.split(',').flatMap((name) => OF_S3[name.trim()] ?? []);
    this.#algorithms = new Set([...this.#expected.map(({ algorithm }) => algorithm), ...inTrailers]);
    for (const algorithm of this.#algorithms) {
      this.#hashes.set(algorithm, counting(algorithm));
    }
  }

  /** Adds what trailers name; before `of` has ended. @throws DomainError `invalid-request` */
  readonly trailers = (trailers: ReadonlyMap<string, string>): void => {
    for (const [name, value] of trailers) {
      const algorithm = OF_S3[name];
      // One that was not announced was not counted.
      if (algorithm !== undefined && this.#algorithms.has(algorithm)) {
        this.#expected.push({ header: name, algorithm, digest: decoded(name, value, algorithm) });
      }
    }
  };

  /** The bytes, held to what was named of them when they end. @throws DomainError `content-mismatch` */
  of(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    return this.#hashes.size === 0 ? bytes : this.#counted(bytes);
  }

  async *#counted(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes) {
      for (const hash of this.#hashes.values()) {
        hash.update(piece);
      }
      yield piece;
    }
    const digests = new Map([...this.#hashes].map(([algorithm, hash]) => [algorithm, hash.digest()]));
    for (const { header, algorithm, digest } of this.#expected) {
      const arrived = digests.get(algorithm);
      if (arrived !== undefined && !arrived.equals(digest)) {
        throw new DomainError(
          'content-mismatch',
          `The bytes that arrived have the digest ${arrived.toString('base64')}, and ${header} says ${digest.toString('base64')}. Nothing of them is kept; send them again.`,
        );
      }
    }
  }
}

function expectedBy(headers: IncomingHttpHeaders): Expected[] {
  const expected: Expected[] = [];
  const add = (header: string, algorithm: Algorithm, value: string): void => {
    expected.push({ header, algorithm, digest: decoded(header, value, algorithm) });
  };
  const md5 = headers['content-md5'];
  if (md5 !== undefined) {
    add('Content-MD5', 'md5', String(md5));
  }
  for (const name of ['Content-Digest', 'Repr-Digest']) {
    const value = headers[name.toLowerCase()];
    for (const member of value === undefined ? [] : String(value).split(',')) {
      const [, key, base64] = /^[ \t]*([a-z*][a-z0-9_.*-]*)=:([^:]*):[ \t]*(?:;.*)?$/.exec(member) ?? [];
      if (key === undefined || base64 === undefined) {
        throw invalid(name, `${name} must look like sha-256=:<base64>: (RFC 9530).`);
      }
      const algorithm = OF_DIGEST_FIELDS[key];
      if (algorithm !== undefined) {
        add(name, algorithm, base64);
      }
    }
  }
  for (const [header, algorithm] of Object.entries(OF_S3)) {
    const value = headers[header];
    if (value !== undefined) {
      add(header, algorithm, String(value));
    }
  }
  return expected;
}

function decoded(header: string, base64: string, algorithm: Algorithm): Buffer {
  const digest = Buffer.from(base64, 'base64');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || digest.length !== BYTES[algorithm]) {
    throw invalid(header, `${header} must be the ${BYTES[algorithm]} bytes of the digest in Base64.`);
  }
  return digest;
}

function counting(algorithm: Algorithm): { update: (piece: Uint8Array) => void; digest: () => Buffer } {
  if (algorithm !== 'crc32') {
    const hash = createHash(algorithm);
    return { update: (piece) => void hash.update(piece), digest: () => hash.digest() };
  }
  let sum = 0;
  return {
    update: (piece) => {
      sum = crc32(piece, sum);
    },
    digest: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(sum);
      return bytes;
    },
  };
}
