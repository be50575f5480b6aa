/** Server-sent events as they are read: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream */

export interface SentEvent {
  /** The event's name, null where it has none. */
  name: string | null;
  data: Buffer;
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Events with data, in order; comments, ids and retry times are not for us. Other than the standard says, the last event needs no
 * blank line after it: that rule is for connections that break, and a body that breaks off throws here.
 */
export async function* sentEvents(lines: AsyncIterable<Buffer>): AsyncGenerator<SentEvent> {
  let name: string | null = null;
  let data: Buffer[] = [];
  let isFirst = true;
  for await (const raw of lines) {
    const line = isFirst && raw.subarray(0, 3).equals(BYTE_ORDER_MARK) ? raw.subarray(3) : raw;
    isFirst = false;
    if (line.length === 0) {
      if (data.length > 0) {
        yield { name, data: joined(data) };
      }
      name = null;
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = line.toString('latin1', 0, colon === -1 ? line.length : colon);
    const rest = colon === -1 ? Buffer.alloc(0) : line.subarray(colon + 1);
    const value = rest[0] === 0x20 ? rest.subarray(1) : rest;
    if (field === 'data') {
      data.push(value);
    } else if (field === 'event') {
      name = value.toString('utf8');
    }
  }
  if (data.length > 0) {
    yield { name, data: joined(data) };
  }
}

function joined(lines: readonly Buffer[]): Buffer {
  return Buffer.concat(lines.flatMap((line, index) => (index === 0 ? [line] : [Buffer.from('\n'), line])));
}
