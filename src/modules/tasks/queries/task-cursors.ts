import type { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { DomainError } from '../../../kernel/errors.js';
import type { TaskPosition } from './task-batches.query.js';

/** A list asked for whole, or from a cursor, or by page. */
export interface TaskPageRequest {
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** The place a cursor stands for; null without one. @throws DomainError `invalid-cursor` */
export function openTaskCursor(sealer: CursorCodec, context: string, cursor: string | undefined): TaskPosition | null {
  if (cursor === undefined) {
    return null;
  }
  const [at, id] = sealer.open(context, cursor);
  if (typeof at !== 'string' || typeof id !== 'string') {
    throw new DomainError('invalid-cursor', 'This cursor does not belong to this list; start again without one.');
  }
  return { at, id };
}

export function sealTaskCursor(sealer: CursorCodec, context: string, position: TaskPosition): string {
  return sealer.seal(context, [position.at, position.id]);
}
