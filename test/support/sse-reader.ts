import { credentialHeaders, type Credential } from './server.js';

/** One frame of server-sent events, parsed as the specification says. */
export interface Frame {
  id: string | null;
  event: string | null;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into data of every shape
  data: any;
  comment: string | null;
  retry: string | null;
}

/** A reader of one open stream that takes a frame at a time. */
export interface SseReader {
  status: number;
  headers: Headers;
  /** The next frame; null once the server ended the stream. */
  next: () => Promise<Frame | null>;
  /** Frames up to and including the first that fits, or up to the end. */
  until: (fits: (frame: Frame) => boolean) => Promise<Frame[]>;
  close: () => void;
}

export async function openSse(
  url: string,
  options: { as?: Credential; headers?: Record<string, string> } = {},
): Promise<SseReader> {
  const controller = new AbortController();
  const response = await fetch(url, {
    headers: { accept: 'text/event-stream', ...credentialHeaders(options.as ?? null), ...options.headers },
    signal: controller.signal,
  });
  const body = response.body?.getReader();
  const decoder = new TextDecoder();
  let buffered = '';
  const next = async (): Promise<Frame | null> => {
    for (;;) {
      const end = buffered.indexOf('\n\n');
      if (end !== -1) {
        const text = buffered.slice(0, end);
        buffered = buffered.slice(end + 2);
        return parseFrame(text);
      }
      const chunk = await body?.read();
      if (chunk === undefined || chunk.done) {
        return null;
      }
      buffered += decoder.decode(chunk.value, { stream: true });
    }
  };
  return {
    status: response.status,
    headers: response.headers,
    next,
    until: async (fits) => {
      const frames: Frame[] = [];
      for (let frame = await next(); frame !== null; frame = await next()) {
        frames.push(frame);
        if (fits(frame)) {
          break;
        }
      }
      return frames;
    },
    close: () => controller.abort(),
  };
}

function parseFrame(text: string): Frame {
  const frame: Frame = { id: null, event: null, data: null, comment: null, retry: null };
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const [field, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
    if (field === '') {
      frame.comment = value;
    } else if (field === 'data') {
      frame.data = JSON.parse(value);
    } else if (field === 'id' || field === 'event' || field === 'retry') {
      frame[field] = value;
    } else {
      throw new Error(`not a line of server-sent events: ${line}`);
    }
  }
  return frame;
}
