import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Numbers of the processes whose parent this is, from /proc. */
export async function childrenOf(parent: number): Promise<number[]> {
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    numbers.map((number) =>
      readFile(`/proc/${number}/stat`, 'utf8').then(
        (stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]),
        () => 0,
      ),
    ),
  );
  return numbers.flatMap((number, index) => (parents[index] === parent ? [Number(number)] : []));
}

/** Dead, or a zombie that nobody has collected: it can do nothing any more. */
export async function isDead(pid: number): Promise<boolean> {
  if (process.platform !== 'linux') {
    return execFileAsync('ps', ['-o', 'stat=', '-p', String(pid)]).then(
      ({ stdout }) => stdout.startsWith('Z'),
      () => true,
    );
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat === null || /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}
