import type { FastifyRequest } from 'fastify';
import { rawBody, type RawBodyOf } from '../../http/raw-body.js';
import { DomainError, invalid } from '../../kernel/errors.js';
import { decodeAwsChunked } from './aws-chunked.js';
import { BodyDigests } from './body-digests.js';

/** The body of an upload: what the client wants kept, without the coding that it was sent in, and held to the digests that it names. */
export interface UploadBody extends RawBodyOf {
  /** The header `If-Match`; null where there is none. */
  ifMatch: string | null;
}

/** @throws DomainError `invalid-request` where a header is malformed */
export function uploadBody(request: FastifyRequest): UploadBody {
  const { headers } = request;
  const raw = rawBody(request);
  const digests = new BodyDigests(headers);
  const ifMatch = headers['if-match'] ?? null;
  if (!isAwsChunked(request)) {
    return { ...raw, ifMatch, bytes: digests.of(raw.bytes) };
  }
  const decodedLength = String(headers['x-amz-decoded-content-length'] ?? '');
  if (!/^\d{0,15}$/.test(decodedLength)) {
    throw invalid('x-amz-decoded-content-length', 'x-amz-decoded-content-length must be a number of bytes.');
  }
  const lengthBytes = decodedLength === '' ? null : Number(decodedLength);
  const decoded = ofLength(decodeAwsChunked(raw.bytes, digests.trailers), lengthBytes);
  return { ...raw, ifMatch, lengthBytes, bytes: digests.of(decoded) };
}

function isAwsChunked({ headers }: FastifyRequest): boolean {
  return (
    (headers['content-encoding'] ?? '').split(',').some((coding) => coding.trim().toLowerCase() === 'aws-chunked') ||
    /^STREAMING-/.test(String(headers['x-amz-content-sha256'] ?? ''))
  );
}

async function* ofLength(bytes: AsyncIterable<Uint8Array>, lengthBytes: number | null): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const piece of bytes) {
    seen += piece.byteLength;
    yield piece;
  }
  if (lengthBytes !== null && seen !== lengthBytes) {
    throw new DomainError(
      'content-mismatch',
      `${seen} bytes arrived, and x-amz-decoded-content-length says ${lengthBytes}.`,
    );
  }
}
