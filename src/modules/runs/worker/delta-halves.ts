/** Halves of surrogate pairs at the ends of deltas, which are kept to be joined (split-characters.ts). All other halves are replaced. */
import { hasHalves, withoutHalves } from '../../../http/json-body/surrogate-halves.js';
import { isObject } from './worker-error.js';

/** What the parser left in the body of an append: halves at the ends of deltas stay, all others are replaced. */
export function keepDeltaHalves(body: unknown): unknown {
  if (!hasHalves(body) || !isObject(body) || !Array.isArray(body['events'])) {
    return hasHalves(body) ? withoutHalves(body) : body;
  }
  const members = Object.entries(body).filter(([name]) => name !== 'events');
  const events: readonly unknown[] = body['events'];
  return Object.fromEntries([
    ...members.map(([name, member]) => [name, withoutHalves(member)]),
    ['events', events.map(keepEventHalves)],
  ]);
}

/** The same for one event. */
export function keepEventHalves(event: unknown): unknown {
  if (!isObject(event) || event['type'] !== 'delta' || !isObject(event['data'])) {
    return withoutHalves(event);
  }
  const { text, ...rest } = event['data'];
  const data = Object.fromEntries(Object.entries(rest).map(([name, member]) => [name, withoutHalves(member)]));
  return { ...event, data: { ...data, text: typeof text === 'string' ? keepEnds(text) : withoutHalves(text) } };
}

function keepEnds(text: string): string {
  const start = beginsWithSecond(text) ? 1 : 0;
  const end = endsInFirst(text) ? text.length - 1 : text.length;
  return `${text.slice(0, start)}${String(withoutHalves(text.slice(start, end)))}${text.slice(end)}`;
}

export function beginsWithSecond(text: string): boolean {
  return (text.charCodeAt(0) & 0xfc00) === 0xdc00;
}

export function endsInFirst(text: string): boolean {
  return (text.charCodeAt(text.length - 1) & 0xfc00) === 0xd800;
}
