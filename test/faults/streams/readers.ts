/** Clients of a stream as people have them: each reads to the end, comes back by itself when it is cut off, and tells what it saw. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createParser } from 'eventsource-parser';
import { EventSource } from 'eventsource';
import { EVENT_TYPES } from '../../../src/modules/streams/index.js';

/** Where a client may read, the same stream at each; it goes on to the next with each connection. */
export interface Reading {
  urls: readonly string[];
  key: string;
}

/** The ids of all events it was shown, in order; `gap` and such as words. */
export type Reader = (reading: Reading) => Promise<string[]>;

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 25));

/** `fetch`, and a parser for the events; Last-Event-ID by hand. */
export const byFetch: Reader = async ({ urls, key }) => {
  const seen: string[] = [];
  const state: { isOver: boolean; lastId: string | null } = { isOver: false, lastId: null };
  for (let visit = 0; !state.isOver; visit += 1) {
    const parser = createParser({
      onEvent: ({ id, event }) => {
        if (event === 'reconnect') return;
        seen.push(event === 'gap' ? 'gap' : (id ?? ''));
        state.lastId = id ?? state.lastId;
        state.isOver ||= event === 'end';
      },
    });
    try {
      const response = await fetch(urls[visit % urls.length] ?? '', {
        headers: {
          authorization: `Bearer ${key}`,
          ...(state.lastId === null ? {} : { 'last-event-id': state.lastId }),
        },
      });
      const decoder = new TextDecoder();
      if (response.status === 200 && response.body !== null) {
        for await (const bytes of response.body) parser.feed(decoder.decode(bytes, { stream: true }));
      }
    } catch {
      // Cut off, or nobody there: again.
    }
    await pause();
  }
  return seen;
};

/** The package `eventsource`, which is how most of Node reads events. */
export const byEventSource: Reader = ({ urls, key }) =>
  new Promise((resolve, reject) => {
    const seen: string[] = [];
    const source = new EventSource(urls[0] ?? '', {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${key}` } }),
    });
    for (const type of [...EVENT_TYPES, 'gap'] as const) {
      source.addEventListener(type, ({ lastEventId }) => {
        seen.push(type === 'gap' ? 'gap' : lastEventId);
        if (type === 'end') {
          source.close();
          resolve(seen);
        }
      });
    }
    source.addEventListener('error', () => {
      if (source.readyState === source.CLOSED) reject(new Error('the package eventsource gave up'));
    });
  });

/** curl, started again with the last id it printed. */
export const byCurl: Reader = async ({ urls, key }) => {
  const seen: string[] = [];
  for (let visit = 0; ; visit += 1) {
    const last = seen.at(-1);
    const args = [
      '-sN',
      '-H',
      `authorization: Bearer ${key}`,
      ...(last === undefined ? [] : ['-H', `last-event-id: ${last}`]),
    ];
    const child = spawn('curl', [...args, urls[visit % urls.length] ?? ''], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    const state = { isOver: false };
    const read = (chunk: string): void => {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const frame = text.slice(0, end);
        text = text.slice(end + 2);
        const id = /^id: (.+)$/m.exec(frame)?.[1];
        const event = /^event: (.+)$/m.exec(frame)?.[1];
        if (id !== undefined) seen.push(event === 'gap' ? 'gap' : id);
        state.isOver ||= event === 'end';
      }
    };
    child.stdout.setEncoding('utf8').on('data', read);
    await new Promise((resolve) => child.on('close', resolve));
    if (state.isOver) return seen;
    await pause();
  }
};

export const CHROMIUM: string | null =
  ['chromium', 'chromium-browser', 'google-chrome'].find((name) => spawnSync(name, ['--version']).status === 0) ?? null;

/** A page with an EventSource of the browser's own. `origin` must be one that the server lets in. */
export async function browserPage(): Promise<{
  origin: string;
  read: (url: string) => Promise<string[]>;
  close: () => Promise<void>;
}> {
  let streamUrl = '';
  let done: (seen: string[]) => void = () => undefined;
  const server: Server = createServer((request, response) => {
    if (request.method === 'POST') {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        response.end();
        done(JSON.parse(body));
      });
      return;
    }
    response.setHeader('content-type', 'text/html');
    response.end(`<script>
      const seen = [];
      const source = new EventSource(${JSON.stringify(streamUrl)});
      const finish = () => { source.close(); fetch('/', { method: 'POST', body: JSON.stringify(seen) }); };
      for (const type of ${JSON.stringify([...EVENT_TYPES, 'gap'])}) source.addEventListener(type, ({ lastEventId }) => {
        seen.push(type === 'gap' ? 'gap' : lastEventId);
        if (type === 'end') finish();
      });
      source.addEventListener('error', () => { if (source.readyState === EventSource.CLOSED) { seen.push('gave up'); finish(); } });
    </script>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    origin,
    read: async (url) => {
      const profile = await mkdtemp(join(tmpdir(), 'taskyard-chromium-'));
      streamUrl = url;
      const seen = new Promise<string[]>((resolve) => (done = resolve));
      const args = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`];
      const child = spawn(CHROMIUM ?? '', [...args, '--remote-debugging-port=0', origin], { stdio: 'ignore' });
      const exit = new Promise((resolve) => child.on('close', resolve));
      const result = await seen;
      child.kill('SIGKILL');
      await exit;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
      return result;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
