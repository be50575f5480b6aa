import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fastify, type FastifyInstance } from 'fastify';
import { refuseUncleanQuery, refuseUncleanText } from '../../src/http/body/json/clean-text.js';
import { registerJsonBody } from '../../src/http/body/json/json-content-type-parser.js';
import { ParsingBudget } from '../../src/http/body/json/parsing-budget.js';
import { SystemClock } from '../../src/kernel/clock.js';
import { DomainError } from '../../src/kernel/errors.js';

function refusal(attempt: () => unknown): { code: string; path: string | undefined } {
  try {
    attempt();
  } catch (error) {
    if (error instanceof DomainError) return { code: error.code, path: error.issues[0]?.path };
    throw error;
  }
  throw new Error('it was accepted');
}

describe('over HTTP', () => {
  let server: FastifyInstance;
  let url: string;

  beforeAll(async () => {
    server = fastify({ bodyLimit: 1000 });
    registerJsonBody(server, new ParsingBudget(new SystemClock()));
    server.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      const code = error instanceof DomainError ? error.code : `fastify ${String(error.statusCode)}`;
      return reply.status(error.statusCode ?? 400).send({ code, message: error.message });
    });
    for (const method of ['POST', 'PATCH', 'PUT', 'DELETE'] as const) {
      server.route({ method, url: '/echo', handler: (request) => ({ body: request.body ?? 'none' }) });
    }
    server.route({
      method: 'POST',
      url: '/large',
      bodyLimit: 5000,
      handler: (request) => ({ body: request.body ?? 'none' }),
    });
    url = await server.listen({ host: '127.0.0.1', port: 0 });
  });
  afterAll(() => server.close());

  const send = async (
    method: string,
    headers: Record<string, string>,
    body?: string,
    path = '/echo',
  ): Promise<unknown> => {
    const reply = await fetch(url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
    });
    return { status: reply.status, ...((await reply.json()) as object) };
  };
  const UNSUPPORTED = expect.objectContaining({ code: 'unsupported-media-type' }) as unknown;
  const READ = { status: 200, body: { a: 1 } };

  it.each([
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json ; charset="utf-8"',
    'application/json; Charset=Utf-8',
  ])('reads a body of type %j', async (type) => {
    expect(await send('POST', { 'content-type': type }, '{"a":1}')).toEqual(READ);
  });

  it.each([
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'application/json-seq',
    'application/problem+json',
    'application/vnd.api+json',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'application/json; charset=utf-8; charset=latin1',
    'application/json; charset=utf-8; boundary=x',
    'application/json; boundary=x',
    'application/json;',
    'application/json;;charset=utf-8',
    'application/json; charset',
    'application/json\t; charset=utf-8',
    'application/json;\tcharset=utf-8',
    'application/json\tx',
    'application/json x',
    'application/json, text/plain',
    'application /json',
    'application/ json',
    'application/json/x',
    'x application/json',
    'application/json; charset=utf-8 x',
    'application/json"',
    '*/*',
    'application/*',
    '*',
    'json',
    'undefined',
  ])('refuses a body of type %j, and again when it comes again', async (type) => {
    for (let time = 0; time < 2; time += 1) {
      const reply = await send('POST', { 'content-type': type }, '{"a":1}');
      expect([UNSUPPORTED, { ...(reply as object), code: 'fastify 415' }]).toContainEqual(reply);
    }
    expect(await send('POST', { 'content-type': 'application/json' }, '{"a":1}')).toEqual(READ);
  });

  it('refuses a body without a type', async () => {
    const reply = await raw('POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n{"a":1}');
    expect(reply).toContain('unsupported-media-type');
  });

  it('takes a header with space around it as what is between, as HTTP says', async () => {
    const reply = await raw(
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: \t application/json \t\r\ncontent-length: 7\r\n\r\n{"a":1}',
    );
    expect(reply).toContain('{"body":{"a":1}}');
  });

  it('takes a merge patch on PATCH only', async () => {
    const type = { 'content-type': 'application/merge-patch+json; charset=utf-8' };
    expect(await send('PATCH', type, '{"a":1}')).toEqual(READ);
    expect(await send('PATCH', { 'content-type': 'application/json' }, '{"a":1}')).toEqual(READ);
    expect(await send('POST', type, '{"a":1}')).toEqual(UNSUPPORTED);
    expect(await send('PUT', type, '{"a":1}')).toEqual(UNSUPPORTED);
  });

  it('refuses a body in a content encoding', async () => {
    const json = { 'content-type': 'application/json' };
    expect(await send('POST', { ...json, 'content-encoding': 'gzip' }, '{"a":1}')).toEqual(UNSUPPORTED);
    expect(await send('POST', { ...json, 'content-encoding': 'identity' }, '{"a":1}')).toEqual(READ);
  });

  it('has no body where none was sent, with a type or without', async () => {
    for (const method of ['POST', 'PATCH', 'PUT', 'DELETE']) {
      expect(await send(method, {})).toEqual({ status: 200, body: 'none' });
      expect(await send(method, { 'content-type': 'application/json' })).toEqual({ status: 200, body: 'none' });
    }
  });

  it('tells a malformed body from one that is refused', async () => {
    const json = { 'content-type': 'application/json' };
    expect(await send('POST', json, '{"a":')).toMatchObject({ code: 'malformed-json' });
    expect(await send('POST', json, '{"a":"\\u0000"}')).toMatchObject({ code: 'invalid-request' });
    expect(await send('POST', json, '{"__proto__":{}}')).toMatchObject({ code: 'invalid-request' });
  });

  it('holds the limit of the route, with a length and in chunks', async () => {
    const json = { 'content-type': 'application/json' };
    const text = (bytes: number): string => JSON.stringify('x'.repeat(bytes - 2));
    expect(await send('POST', json, text(1000))).toMatchObject({ status: 200 });
    expect(await send('POST', json, text(1001))).toMatchObject({ code: 'fastify 413' });
    expect(await send('POST', json, text(5000), '/large')).toMatchObject({ status: 200 });
    expect(await send('POST', json, text(5001), '/large')).toMatchObject({ code: 'fastify 413' });
    const chunk = `3e9\r\n${text(1001)}\r\n0\r\n\r\n`;
    const reply = await raw(
      `POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunk}`,
    );
    expect(reply).toContain('fastify 413');
  });

  it('answers an unknown route as unknown, whatever its body is', async () => {
    for (const type of ['application/json', 'text/plain']) {
      expect(await send('POST', { 'content-type': type }, '{"a":', '/nowhere')).toMatchObject({ status: 404 });
    }
  });

  /** One request as exact bytes; resolves with the reply once it is whole. */
  function raw(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(request));
      let reply = '';
      socket.setEncoding('utf8');
      socket.on('error', reject);
      socket.on('close', () => {
        resolve(reply);
      });
      socket.on('data', (text: string) => {
        reply += text;
        const [head = '', body = ''] = reply.split('\r\n\r\n');
        const [, size] = /content-length: (\d+)/i.exec(head) ?? [];
        if (size !== undefined && body.length >= Number(size)) socket.destroy();
      });
    });
  }
});

describe('text from paths and queries', () => {
  it.each(['plain', '', 'Zürich 😀', '\ufffd', '\u0001\n'])('passes when it is %j', (text) => {
    expect(() => {
      refuseUncleanText(text, '?q');
    }).not.toThrow();
  });

  it.each(['\u0000', 'a\u0000', '\ud800', 'x\udfffy', '\ude00\ud83d'])(
    'is refused, with its place, when it is %j',
    (text) => {
      expect(
        refusal(() => {
          refuseUncleanText(text, '?q');
        }),
      ).toEqual({ code: 'invalid-request', path: '?q' });
      expect(
        refusal(() => {
          refuseUncleanQuery({ page: '1', q: text });
        }),
      ).toEqual({ code: 'invalid-request', path: '?q' });
      expect(
        refusal(() => {
          refuseUncleanQuery({ q: ['ok', text] });
        }),
      ).toEqual({ code: 'invalid-request', path: '?q' });
      expect(
        refusal(() => {
          refuseUncleanQuery({ [text]: 'x' });
        }),
      ).toEqual({ code: 'invalid-request', path: '' });
    },
  );
});
