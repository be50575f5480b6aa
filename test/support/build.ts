/** The server and the programs of the tests as plain JavaScript, in a folder of their own: processes start faster, and from these sources. */
import { copyFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transform } from '@swc/core';

const FOLDERS = ['src', 'migrations', 'test'];

/** Where a source file of the project is once it is built; for tests, which find the whole project built before them. */
export function builtPath(source: string): string {
  return join(process.env['TEST_BUILD'] ?? '', source.replace(/\.ts$/, '.js'));
}

export async function buildInto(folder: string, project: string): Promise<void> {
  await symlink(join(project, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), await readFile(join(project, 'package.json')));
  for (const name of FOLDERS) {
    const entries = await readdir(join(project, name), { recursive: true, withFileTypes: true });
    for (const entry of entries.filter((found) => found.isFile())) {
      const source = join(entry.parentPath, entry.name);
      const target = join(folder, source.slice(project.length)).replace(/\.ts$/, '.js');
      await mkdir(dirname(target), { recursive: true });
      if (!entry.name.endsWith('.ts')) {
        await copyFile(source, target);
        continue;
      }
      const { code } = await transform(await readFile(source, 'utf8'), {
        filename: source,
        configFile: join(project, '.swcrc'),
        sourceMaps: false,
      });
      await writeFile(target, code);
    }
  }
}
