/**
 * An S3 server of one bucket, in memory, for tests: it speaks as much of the protocol as the driver uses, answers as Amazon documents
 * it, and, above all, checks every signature (AWS Signature Version 4) by itself, so that a driver that signs wrongly is refused here too.
 */
import { createHash, createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface S3TestServer {
  endpoint: string;
  bucket: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  objects: Map<string, { bytes: Buffer; storedAt: Date }>;
  /** Requests that were refused for their signature. */
  refused: string[];
  connections(): Promise<number>;
  /** Resolves when there are no more connections than told: what a process sent before its death has been worked on. */
  settled(connections: number): Promise<void>;
  stop(): Promise<void>;
}

interface Multipart {
  key: string;
  initiated: Date;
  parts: Map<number, { bytes: Buffer; storedAt: Date }>;
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code);
  }
}

const REGION = 'test-region-1';
const CREDENTIALS = { accessKeyId: 'AKTESTTESTTEST', secretAccessKey: 'secret/of+the/test/server' };
const LARGEST_SKEW_MS = 15 * 60_000;

export async function startS3Server(bucket = 'files'): Promise<S3TestServer> {
  const objects: S3TestServer['objects'] = new Map();
  const uploads = new Map<string, Multipart>();
  const refused: string[] = [];
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      const refusal = error instanceof Refusal ? error : new Refusal(500, 'InternalError');
      if (refusal.status === 403) {
        refused.push(`${request.method} ${request.url}: ${refusal.code}`);
      }
      const body =
        request.method === 'HEAD' ? '' : `<Error><Code>${refusal.code}</Code><Message>refused</Message></Error>`;
      response.writeHead(refusal.status, {
        'content-type': 'application/xml',
        'content-length': Buffer.byteLength(body),
      });
      response.end(body);
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    checkSignature(request, body);
    const url = new URL(request.url ?? '', 'http://s3');
    const inHost = (request.headers.host ?? '').startsWith(`${bucket}.`);
    const [, named = '', path = ''] = inHost
      ? ['', bucket, decodeURIComponent(url.pathname.slice(1))]
      : (/^\/([^/]*)\/?(.*)$/.exec(decodeURIComponent(url.pathname)) ?? []);
    if (named !== bucket) {
      throw new Refusal(404, 'NoSuchBucket');
    }
    const { searchParams: query } = url;
    const uploadId = query.get('uploadId');
    const xml = (content: string): void => {
      response.writeHead(200, { 'content-type': 'application/xml' });
      response.end(`<?xml version="1.0" encoding="UTF-8"?>${content}`);
    };
    const route = `${request.method} ${path === '' ? 'bucket' : 'object'}`;
    switch (route) {
      case 'HEAD bucket':
        response.writeHead(200).end();
        return;
      case 'GET bucket':
        xml(query.has('uploads') ? listUploads(query) : listObjects(query));
        return;
      case 'PUT object': {
        const etag = `"${createHash('md5').update(body).digest('hex')}"`;
        if (uploadId !== null) {
          uploadOf(uploadId, path).parts.set(Number(query.get('partNumber')), { bytes: body, storedAt: new Date() });
        } else {
          store(request, path, body);
        }
        response.writeHead(200, { etag }).end();
        return;
      }
      case 'POST object': {
        if (query.has('uploads')) {
          const id = randomUUID();
          uploads.set(id, { key: path, initiated: new Date(), parts: new Map() });
          xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
          return;
        }
        const { parts } = uploadOf(uploadId ?? '', path);
        const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, text]) =>
          Number(text),
        );
        const whole = numbers.map((number) => parts.get(number)?.bytes);
        if (whole.some((part) => part === undefined)) {
          throw new Refusal(400, 'InvalidPart');
        }
        store(request, path, Buffer.concat(whole.filter((part) => part !== undefined)));
        uploads.delete(uploadId ?? '');
        xml('<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>');
        return;
      }
      case 'DELETE object':
        if (uploadId === null) {
          objects.delete(path);
        } else {
          uploadOf(uploadId, path);
          uploads.delete(uploadId);
        }
        response.writeHead(204).end();
        return;
      case 'HEAD object':
      case 'GET object':
        if (uploadId !== null) {
          xml(
            `<ListPartsResult>${[...uploadOf(uploadId, path).parts].map(([number, { storedAt }]) => `<Part><PartNumber>${number}</PartNumber><LastModified>${storedAt.toISOString()}</LastModified></Part>`).join('')}</ListPartsResult>`,
          );
          return;
        }
        send(request, response, path);
        return;
      default:
        throw new Refusal(405, 'MethodNotAllowed');
    }
  }

  function store(request: IncomingMessage, key: string, bytes: Buffer): void {
    if (request.headers['if-none-match'] === '*' && objects.has(key)) {
      throw new Refusal(412, 'PreconditionFailed');
    }
    objects.set(key, { bytes, storedAt: new Date() });
  }

  function uploadOf(id: string, key: string): Multipart {
    const upload = uploads.get(id);
    if (upload?.key !== key) {
      throw new Refusal(404, 'NoSuchUpload');
    }
    return upload;
  }

  function send(request: IncomingMessage, response: ServerResponse, key: string): void {
    const object = objects.get(key);
    if (object === undefined) {
      throw new Refusal(404, 'NoSuchKey');
    }
    const { bytes, storedAt } = object;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = Math.min(Number(to ?? bytes.length), bytes.length - 1);
    if (from !== undefined && start >= bytes.length) {
      throw new Refusal(416, 'InvalidRange');
    }
    const part = from === undefined ? bytes : bytes.subarray(start, end + 1);
    response.writeHead(from === undefined ? 200 : 206, {
      'content-length': part.length,
      'last-modified': storedAt.toUTCString(),
      ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${bytes.length}` }),
    });
    response.end(request.method === 'HEAD' ? undefined : part);
  }

  /** Pages of two, so that whoever lists must turn them. */
  function listObjects(query: URLSearchParams): string {
    const all = [...objects]
      .filter(([key]) => key.startsWith(query.get('prefix') ?? ''))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const rest = all.filter(([key]) => key > (query.get('continuation-token') ?? ''));
    const page = rest.slice(0, 2);
    const more = rest.length > page.length;
    return `<ListBucketResult><IsTruncated>${more}</IsTruncated>${more ? `<NextContinuationToken>${page.at(-1)?.[0]}</NextContinuationToken>` : ''}${page.map(([key, { bytes }]) => `<Contents><Key>${key}</Key><Size>${bytes.length}</Size></Contents>`).join('')}</ListBucketResult>`;
  }

  function listUploads(query: URLSearchParams): string {
    const all = [...uploads]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .filter(([, { key }]) => key.startsWith(query.get('prefix') ?? ''));
    const rest = all.filter(([id]) => id > (query.get('upload-id-marker') ?? ''));
    const page = rest.slice(0, 2);
    const last = page.at(-1);
    const more = rest.length > page.length && last !== undefined;
    return `<ListMultipartUploadsResult><IsTruncated>${more}</IsTruncated>${more ? `<NextKeyMarker>${last[1].key}</NextKeyMarker><NextUploadIdMarker>${last[0]}</NextUploadIdMarker>` : ''}${page.map(([id, { key, initiated }]) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${initiated.toISOString()}</Initiated></Upload>`).join('')}</ListMultipartUploadsResult>`;
  }

  const connections = (): Promise<number> =>
    new Promise((resolve, reject) => {
      server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    bucket,
    region: REGION,
    credentials: CREDENTIALS,
    objects,
    refused,
    connections,
    settled: async (most) => {
      while ((await connections()) > most) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Signature Version 4 as Amazon documents it: canonical request, string to sign, derived key. */
function checkSignature(request: IncomingMessage, body: Buffer): void {
  const authorization = request.headers.authorization ?? '';
  const [, key = '', scope = '', signedNames = '', signature = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    ) ?? [];
  if (key !== CREDENTIALS.accessKeyId) {
    throw new Refusal(403, 'InvalidAccessKeyId');
  }
  const moment = String(request.headers['x-amz-date'] ?? '');
  const [date = '', region = '', service = '', end = ''] = scope.split('/');
  const at = Date.parse(moment.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (!moment.startsWith(date) || region !== REGION || service !== 's3' || end !== 'aws4_request') {
    throw new Refusal(403, 'AuthorizationHeaderMalformed');
  }
  if (!(Math.abs(Date.now() - at) < LARGEST_SKEW_MS)) {
    throw new Refusal(403, 'RequestTimeTooSkewed');
  }
  const names = signedNames.split(';');
  const mustBeSigned = Object.keys(request.headers).filter(
    (name) => name === 'host' || name.startsWith('x-amz-') || name === 'if-none-match' || name === 'range',
  );
  const digest = createHash('sha256').update(body).digest('hex');
  if (mustBeSigned.some((name) => !names.includes(name)) || request.headers['x-amz-content-sha256'] !== digest) {
    throw new Refusal(403, 'SignatureDoesNotMatch');
  }
  const url = new URL(request.url ?? '', 'http://s3');
  const escape = (text: string): string =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const query = [...url.searchParams]
    .map(([name, value]) => `${escape(name)}=${escape(value)}`)
    .sort()
    .join('&');
  const headers = names
    .map(
      (name) =>
        `${name}:${String(request.headers[name] ?? '')
          .trim()
          .replace(/ +/g, ' ')}\n`,
    )
    .join('');
  const canonical = [request.method, url.pathname, query, headers, signedNames, digest].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', moment, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const derived = [date, region, 's3', 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => createHmac('sha256', secret).update(part).digest(),
    `AWS4${CREDENTIALS.secretAccessKey}`,
  );
  const expected = createHmac('sha256', derived).update(toSign).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, 'hex'))) {
    throw new Refusal(403, 'SignatureDoesNotMatch');
  }
}
