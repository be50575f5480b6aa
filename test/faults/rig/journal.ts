/**
 * What a client asked for and was told, one line each, append-only: a killed client leaves all that it knew. An `invoke` without an
 * outcome, and an `unknown`, may or may not have happened; an `ok` has.
 */
import { appendFileSync, readFileSync } from 'node:fs';

export interface JournalLine {
  state: 'invoke' | 'ok' | 'refused' | 'unknown';
  request: string;
  kind: string;
  runId: string;
  fence: string;
  batch?: string;
  texts?: readonly string[];
  lastSeq?: number;
  status?: number;
}

export class Journal {
  constructor(private readonly path: string) {}

  write(line: JournalLine): void {
    appendFileSync(this.path, `${JSON.stringify(line)}\n`);
  }
}

export function readJournal(path: string): JournalLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line, index, all): JournalLine[] => {
    if (line === '') {
      return [];
    }
    try {
      return [JSON.parse(line) as JournalLine];
    } catch (error) {
      // The last line of a killed client may be cut off.
      if (index >= all.length - 2) {
        return [];
      }
      throw error;
    }
  });
}
