/**
 * Characters that a worker cut in two. Text that is streamed by UTF-16 code units may end one delta with the first half of a surrogate pair and
 * begin the next one with the second. Neither half can be stored as text, so the first is kept as a number in the run's row, in the transaction of
 * the append, and put before the next delta of the same message under the same lease. Deltas stay events of their own: their numbers and the
 * replies are as without. Only appends with a half in them pay for it.
 *
 * A second half that nothing waits for becomes U+FFFD. A first half that nothing completes is left out.
 */
import { beginsWithSecond, endsInFirst } from './delta-halves.js';
import type { WorkerEvent } from './worker.schema.js';

const REPLACEMENT = '\uFFFD';
/** Messages of one lease that may be cut at once. */
const MAX_MESSAGES = 100;

/** Code units of first halves, by the id of their message; '' for deltas without one. */
export type SplitCharacters = Readonly<Record<string, number>>;

/** True where a delta begins or ends in half of a character. */
export function hasSplitCharacter(events: readonly WorkerEvent[]): boolean {
  return events.some(({ type, data }) => type === 'delta' && (beginsWithSecond(data.text) || endsInFirst(data.text)));
}

/** The events with each character whole, and the halves that then wait for the rest. @param waiting those from before */
export function joinSplitCharacters(
  events: readonly WorkerEvent[],
  waiting: SplitCharacters,
): { events: WorkerEvent[]; waiting: SplitCharacters } {
  const halves = new Map(Object.entries(waiting));
  const joined = events.map((event) => (event.type === 'delta' ? joinDelta(event, halves) : event));
  return { events: joined, waiting: Object.fromEntries(halves) };
}

type Delta = Extract<WorkerEvent, { type: 'delta' }>;

function joinDelta(event: Delta, halves: Map<string, number>): Delta {
  const id = event.data.message_id ?? '';
  let { text } = event.data;
  if (text === '') {
    return event;
  }
  const half = halves.get(id);
  halves.delete(id);
  if (beginsWithSecond(text)) {
    text = half === undefined ? `${REPLACEMENT}${text.slice(1)}` : `${String.fromCharCode(half)}${text}`;
  }
  if (endsInFirst(text)) {
    if (halves.size < MAX_MESSAGES) {
      halves.set(id, text.charCodeAt(text.length - 1));
    }
    text = text.slice(0, -1);
  }
  return { ...event, data: { ...event.data, text } };
}
