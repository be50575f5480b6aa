import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

const MADE_BYTES = 18;

/** Asks at the terminal, without showing what is typed; makes one where nobody is there or nothing is typed. */
export async function askPassword(): Promise<{ password: string; wasMade: boolean }> {
  const typed = process.stdin.isTTY && process.stdout.isTTY ? await ask() : '';
  return typed === ''
    ? { password: randomBytes(MADE_BYTES).toString('base64url'), wasMade: true }
    : { password: typed, wasMade: false };
}

async function ask(): Promise<string> {
  process.stdout.write('New password (nothing: one is made): ');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stdout.write('\n');
  }
}
