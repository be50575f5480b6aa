/** A file in a multipart form (RFC 7578), streamed: the fields first, then the file, and nothing after it. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { StaleActorError } from '../../../database/database.js';
import type { RawBodyOf } from '../../../http/decorators/raw-body.js';
import { DomainError, invalid } from '../../../kernel/errors.js';
import { assetNameSchema, type FormFields, formFieldsSchema } from './uploads.schema.js';

const LIMITS = {
  files: 1,
  fields: 12,
  parts: 14,
  fieldNameSize: 64,
  fieldSize: 4096,
  headerPairs: 32,
  headerSize: 8192,
};

export interface FormFile {
  name: string;
  contentType: string;
  bytes: AsyncIterable<Uint8Array>;
}

/**
 * Hands the file to `take` as soon as it begins; resolves with what that does, once the form has come to its end.
 * @throws DomainError `unsupported-media-type`, `invalid-request` for what is no such form, and what `take` throws
 */
export async function readForm<Result>(
  body: RawBodyOf,
  take: (fields: FormFields, file: FormFile, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const parser = parserOf(body.contentType);
  const given = new Map<string, string>();
  const broken = new AbortController();
  const fault = (error: DomainError): void => {
    broken.abort(error);
    parser.destroy(error);
  };
  // In an object: what a listener sets, the compiler does not see set.
  const state: { taken: Promise<Result> | null } = { taken: null };
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });

  parser.on('field', (name, value, nameTruncated, valueTruncated) => {
    if (state.taken !== null) {
      fault(invalid(`/${name}`, 'Fields come before the file.'));
    } else if (nameTruncated || valueTruncated || given.has(name)) {
      fault(invalid(`/${name}`, given.has(name) ? 'This field is there twice.' : 'This field is too long.'));
    } else if (value !== '') {
      // Browsers and Swagger UI send the fields that nobody filled in, empty.
      given.set(name, value);
    }
  });
  parser.on('file', (field, stream, filename, _encoding, contentType) => {
    // A stream that nobody reads holds up the parser; its errors are told by the parser too.
    stream.on('error', () => undefined);
    try {
      if (field !== 'file') {
        throw invalid(`/${field}`, 'The file’s field is called “file”.');
      }
      if (!given.has('task_id')) {
        throw invalid(
          '/task_id',
          'The field task_id did not come before the file. Send the fields first, then the file.',
        );
      }
      const fields = parsed(formFieldsSchema, Object.fromEntries(given), '');
      const name = fields.name ?? parsed(assetNameSchema, filename, '/file');
      state.taken = take(fields, { name, contentType, bytes: untilTheEnd(stream, ended) }, broken.signal);
      state.taken.catch((error: unknown) => {
        // What comes yet is not wanted: the request ends here.
        broken.abort(error);
        parser.destroy(error instanceof Error ? error : undefined);
      });
    } catch (error) {
      stream.resume();
      fault(error instanceof DomainError ? error : invalid('', 'The form could not be read.'));
    }
  });
  for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) {
    parser.on(limit, () => fault(invalid('', 'The form has too many parts: one file, and a few fields.')));
  }

  try {
    await pipeline(Readable.from(body.bytes), parser);
    end();
  } catch (cause) {
    const error = told(broken.signal.reason) ?? told(cause) ?? cutShort(cause);
    broken.abort(error);
    await settled(state.taken);
    throw error;
  }
  if (state.taken === null) {
    throw invalid('/file', 'The form has no file.');
  }
  return state.taken;
}

/** The file's bytes; they end when the whole form has, so that nothing is kept of one that goes wrong after its file. */
async function* untilTheEnd(stream: AsyncIterable<Uint8Array>, ended: Promise<void>): AsyncGenerator<Uint8Array> {
  yield* stream;
  await ended;
}

/** What a client may be told of it; null for what says nothing to a client. */
function told(reason: unknown): DomainError | null {
  if (reason instanceof StaleActorError) {
    // The body is spent, so the request cannot simply run again.
    return new DomainError('unavailable', 'Your rights changed during the upload; send it again.', { cause: reason });
  }
  return reason instanceof DomainError ? reason : null;
}

function cutShort(cause: unknown): DomainError {
  return new DomainError('invalid-request', 'The form could not be read: it is cut short or malformed.', { cause });
}

async function settled(taken: Promise<unknown> | null): Promise<void> {
  await taken?.catch(() => undefined);
}

function parserOf(contentType: string): BusboyInstance {
  if (!/^multipart\/form-data *;(?:.*;)? *boundary=/i.test(contentType)) {
    throw new DomainError('unsupported-media-type', 'Send the file as multipart/form-data.');
  }
  try {
    // Names as they came: a path is refused, not cut.
    return new Busboy({ headers: { 'content-type': contentType }, limits: LIMITS, preservePath: true });
  } catch (cause) {
    throw new DomainError('invalid-request', 'The form could not be read: its boundary is malformed.', { cause });
  }
}

interface Schema<Output> {
  safeParse(
    value: unknown,
  ):
    { success: true; data: Output } | { success: false; error: { issues: { path: PropertyKey[]; message: string }[] } };
}

function parsed<Output>(schema: Schema<Output>, value: unknown, at: string): Output {
  const result = schema.safeParse(value);
  if (result.success) {
    return result.data;
  }
  const issues = result.error.issues.map(({ path, message }) => ({
    path: `${at}${path.map((part) => `/${String(part)}`).join('')}`,
    message,
  }));
  throw new DomainError('invalid-request', issues[0]?.message ?? 'The form is not valid.', { issues });
}
