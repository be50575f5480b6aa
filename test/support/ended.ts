import type { TestServer } from './server.js';

interface RunAsShown {
  id: string;
  status: string;
  output: unknown;
  error: { name: string; message: string } | null;
  attempt: number;
  attempts: { number: number; status: string; error: { name: string } | null }[];
}

export interface LogEvent {
  seq: number;
  type: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into events of every shape
  data: any;
}

/** Follows a run's stream until it ends (or `until` says enough), and returns its events. No polling: the stream says when. */
export async function follow(
  server: Pick<TestServer, 'call'>,
  runId: string,
  until: (event: LogEvent) => boolean = () => false,
): Promise<LogEvent[]> {
  const link = await server.call('POST', `/api/v1/streams/${runId}/url`);
  const response = await fetch(link.body.url, { headers: { accept: 'text/event-stream' } });
  const events: LogEvent[] = [];
  let text = '';
  if (response.body === null) {
    throw new Error(`no stream: ${response.status}`);
  }
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data === undefined) continue;
      const event = JSON.parse(data) as LogEvent;
      if (typeof event.seq !== 'number') continue;
      events.push(event);
      if (event.type === 'end' || until(event)) return events;
    }
  }
  throw new Error(`the stream of ${runId} ended early: ${JSON.stringify(events)}`);
}

/** The run once it has ended, with its events. */
export async function ended(
  server: Pick<TestServer, 'call'>,
  runId: string,
): Promise<{ run: RunAsShown; events: LogEvent[] }> {
  const events = await follow(server, runId);
  const reply = await server.call('GET', `/api/v1/runs/${runId}`);
  return { run: reply.body as RunAsShown, events };
}
