import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { localLink } from '../support/assets.js';
import { type ContentSample, contentSamples } from '../support/content-samples.js';
import { seedRun } from '../support/seeds.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let taskId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  ({ taskId } = await seedRun(server));
});
afterAll(() => server.stop());

interface Announcement {
  name: string;
  contentType: string;
  bytes: Buffer;
  type?: string;
}

async function send({ name, contentType, bytes, type }: Announcement): Promise<Reply> {
  const body = { task_id: taskId, name, content_type: contentType, size: bytes.length, ...(type && { type }) };
  const announced = await server.call('POST', '/api/v1/assets', { body });
  if (announced.status !== 201) {
    return announced;
  }
  const { url, headers } = announced.body.upload;
  const reply = await fetch(localLink(server, url), { method: 'PUT', body: bytes, headers });
  const text = await reply.text();
  return { status: reply.status, headers: reply.headers, body: JSON.parse(text), text };
}

async function served(asset: { url: string }): Promise<Record<string, unknown>> {
  const reply = await fetch(localLink(server, asset.url));
  await reply.arrayBuffer();
  return {
    type: reply.headers.get('content-type'),
    place: reply.headers.get('content-disposition')?.split(';')[0],
    sniffing: reply.headers.get('x-content-type-options'),
    policy: reply.headers.get('content-security-policy'),
  };
}

const HARMLESS = { sniffing: 'nosniff', policy: "sandbox; default-src 'none'" };
const samples = await contentSamples();

describe('a good file is kept as what it is and served so, under every type that a browser announces', () => {
  test.each(samples.map((sample): [string, ContentSample] => [sample.kind, sample]))('%s', async (_kind, sample) => {
    const { name, type, announced, kept, charset, isInline = false, bytes } = sample;
    for (const contentType of [...announced, '', 'application/octet-stream']) {
      const { status, body } = await send({ name, type, contentType, bytes });
      expect([contentType, status, body.detail, body.content_type, body.type]).toEqual([
        contentType,
        200,
        undefined,
        kept,
        type,
      ]);
      expect(body.metadata.charset).toBe(charset);
      expect(await served(body)).toEqual({
        ...HARMLESS,
        type: charset === undefined ? kept : `${kept}; charset=${charset}`,
        place: isInline ? 'inline' : 'attachment',
      });
    }
  });
});

const HTML = '<!doctype html><script>alert(1)</script>';
const sample = (kind: string): Buffer => samples.find((one) => one.kind === kind)?.bytes ?? Buffer.alloc(0);
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('a file of another family is refused, with what it is and what was announced', () => {
  test.each([
    ['a picture called sound', 'audio/mpeg', sample('PNG named otherwise'), 'The bytes are image/png'],
    ['sound called a picture', 'image/png', sample('RF64 WAV'), 'The bytes are audio/wav'],
    ['a program called a picture', 'image/x-icon', sample('.so'), 'The bytes are application/x-elf'],
    ['a program called an archive', 'application/gzip', sample('.so'), 'The bytes are application/x-elf'],
    ['an archive called a PDF', 'application/pdf', sample('.tgz'), 'The bytes are application/gzip'],
    ['an archive called text', 'text/csv', sample('.tgz'), 'The bytes are application/gzip'],
    ['a picture called a vector graphic', 'image/svg+xml', sample('PNG named otherwise'), 'The bytes are image/png'],
    ['a vector graphic called a picture', 'image/png', latin1('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'are text'],
    ['a page called a raw picture', 'image/x-nikon-nef', latin1(HTML), 'are text'],
    ['a page called a video of Windows', 'video/x-ms-wmv', latin1(HTML), 'are text'],
    ['zeros called sound', 'audio/mpeg', Buffer.alloc(9000), 'are nothing known'],
    ['noise called text', 'text/plain', sample('TIFF').subarray(100, 5000), 'are not text'],
    ['a page in UTF-16 called sound', 'audio/mpeg', Buffer.from(`\ufeff${HTML}`, 'utf16le'), 'are text'],
    ['a page in UTF-16 called a picture', 'image/png', Buffer.from(HTML, 'utf16le'), 'are text'],
    ['a page with the header of a PDF in it', 'application/pdf', latin1(`${HTML}\n%PDF-1.4\n`), 'are text'],
    ['a script that begins like a GIF', 'image/gif', latin1('GIF89a=1;alert(document.domain)//'), 'are text'],
    ['a script that begins like a bitmap', 'image/bmp', latin1('BM=1;alert(document.domain)//'), 'are text'],
  ])('%s', async (_name, contentType, bytes, why) => {
    const { status, body } = await send({ name: 'a', contentType, bytes });
    expect([status, body.code]).toEqual([422, 'content-mismatch']);
    expect(body.detail).toContain(why);
    expect(body.detail).toContain(`${contentType} was announced`);
  });
});

describe('what a browser could run is a download, whatever its charset', () => {
  test.each([
    ['a page', 'text/html', Buffer.from(HTML), 'text/html; charset=utf-8'],
    ['a page in UTF-16', 'text/html', Buffer.from(`\ufeff${HTML}`, 'utf16le'), 'text/html; charset=utf-16le'],
    ['a page in UTF-16 without a mark', 'text/html', Buffer.from(HTML, 'utf16le'), 'text/html; charset=utf-16le'],
    ['a page in UTF-16 called plain text', 'text/plain', Buffer.from(HTML, 'utf16le'), 'text/plain; charset=utf-16le'],
    ['a page in UTF-7', 'text/html', latin1('+ADw-script+AD4-alert(1)+ADw-/script+AD4-'), 'text/html; charset=utf-8'],
    [
      'a vector graphic in Latin-1',
      'image/svg+xml',
      latin1('<svg xmlns="http://www.w3.org/2000/svg"><text>caf\xe9 ol\xe9</text></svg>'),
      'image/svg+xml; charset=windows-1252',
    ],
    ['a script in UTF-16', 'text/javascript', Buffer.from('\ufeffalert(1)', 'utf16le'), 'text/plain; charset=utf-16le'],
    ['a script that begins like a GIF', 'text/javascript', latin1('GIF89a=1;alert(1)//'), 'text/plain; charset=utf-8'],
  ])('%s', async (_name, contentType, bytes, type) => {
    const { status, body } = await send({ name: 'a', contentType, bytes });
    expect([status, body.detail]).toEqual([200, undefined]);
    expect(await served(body)).toEqual({ ...HARMLESS, type, place: 'attachment' });
  });

  test('and a page of no announced type is none, unless its name says so', async () => {
    const bytes = Buffer.from(`\ufeff${HTML}`, 'utf16le');
    const [unnamed, named] = [
      await send({ name: 'a', contentType: '', bytes }),
      await send({ name: 'a.html', contentType: '', bytes }),
    ];
    expect(await served(unnamed.body)).toMatchObject({ type: 'application/octet-stream', place: 'attachment' });
    expect(await served(named.body)).toMatchObject({ type: 'text/html; charset=utf-16le', place: 'attachment' });
  });
});

describe('the charset of a text', () => {
  test('is not told where the text turns out to be none, or where nothing is known of it', async () => {
    const late = Buffer.concat([latin1('words\n'.repeat(20_000)), Buffer.alloc(10)]);
    const { status, body } = await send({ name: 'a.txt', contentType: 'text/plain', bytes: late });
    expect([status, body.content_type, body.metadata]).toEqual([200, 'text/plain', {}]);
    expect(await served(body)).toMatchObject({ type: 'text/plain' });
  });

  test('is that of the whole, however the body is cut', async () => {
    const bytes = Buffer.from('Zürich €\n'.repeat(30_000));
    const announced = await server.call('POST', '/api/v1/assets', {
      body: { task_id: taskId, name: 'a.txt', content_type: 'text/plain', size: bytes.length, part_size: 65_536 + 1 },
    });
    const { url, headers, part_count: count } = announced.body.upload;
    for (let number = 1; number <= count; number += 1) {
      const part = bytes.subarray((number - 1) * 65_537, number * 65_537);
      await fetch(localLink(server, url.replace('{number}', String(number))), { method: 'PUT', body: part, headers });
    }
    const whole = await server.call('POST', `/api/v1/assets/${announced.body.asset.id}/complete`, { body: {} });
    expect([whole.status, whole.body.metadata]).toEqual([200, { charset: 'utf-8' }]);
  });
});
