import { parseArgs } from 'node:util';
import { trySsrf } from '../egress/ssrf.js';

/** `npm run soak -- ssrf --rounds 100`; true where the canary saw nothing. */
export async function soak(args: string[]): Promise<boolean> {
  const { values } = parseArgs({ args, options: { rounds: { type: 'string', default: '100' } } });
  const report = await trySsrf(Number(values.rounds));
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  return report.seen === 0 && report.wrong.length === 0;
}
