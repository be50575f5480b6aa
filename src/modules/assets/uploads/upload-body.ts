import type { FastifyRequest } from 'fastify';
import { rawBody, type RawBodyOf } from '../../../http/decorators/raw-body.js';
import { DomainError, invalid } from '../../../kernel/errors.js';
import { decodeAwsChunked } from './aws-chunked.js';
import { BodyDigests } from './body-digests.js';

/** The body of an upload: what the client wants kept, without the coding that it was sent in, and held to the digests that it names. */
export interface UploadBody extends RawBodyOf {
  /** The header `If-Match`; null where there is none. */
  ifMatch: string | null;
}

/** @throws DomainError `invalid-request` where a header is malformed, `unsupported-media-type` for a coding that is not decoded */
export function uploadBody(request: FastifyRequest): UploadBody {
  const { headers } = request;
  const raw = rawBody(request);
  const digests = new BodyDigests(headers);
  const ifMatch = headers['if-match'] ?? null;
  if (headers['content-range'] !== undefined) {
    // https://www.rfc-editor.org/rfc/rfc9110#section-14.5: stored as the whole, a part would replace the file.
    throw invalid('content-range', 'Content-Range is not taken here; send the whole, or upload in parts.');
  }
  if (codingsOf(request).some((coding) => !['', 'identity', 'aws-chunked'].includes(coding))) {
    throw new DomainError(
      'unsupported-media-type',
      'Send the bytes as they are to be kept, without a Content-Encoding.',
    );
  }
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

function isAwsChunked(request: FastifyRequest): boolean {
  return (
    codingsOf(request).includes('aws-chunked') ||
    /^STREAMING-/.test(String(request.headers['x-amz-content-sha256'] ?? ''))
  );
}

function codingsOf({ headers }: FastifyRequest): string[] {
  return (headers['content-encoding'] ?? '').split(',').map((coding) => coding.trim().toLowerCase());
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
