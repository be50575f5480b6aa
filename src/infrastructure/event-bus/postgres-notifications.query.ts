/** One channel for everybody: the topics are in the text. */
const CHANNEL = 'taskyard_hints';

/**
 * What the hint connection says about itself. NOTIFY gives its transaction an id and so a commit record; hints are not worth
 * waiting for the disk. TCP is asked to notice a peer that went away in silence.
 */
export const HINT_SESSION = `set synchronous_commit = off; listen ${CHANNEL}`;

/** All texts in one statement, one transaction, one round trip. */
export const SEND_HINTS = `select pg_notify('${CHANNEL}', text) from unnest($1::text[]) as hints (text)`;

/** Asks whether the connection is still there. */
export const STILL_THERE = 'select 1';
