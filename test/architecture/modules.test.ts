import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ROOT, sources } from './sources.js';

/** The line of modules; each may import only what stands to its left. Later ones join as they are built. */
const LINE = [
  'organizations',
  'auth',
  'agents',
  'secrets',
  'audit',
  'messages',
  'streams',
  'runs',
  'budgets',
  'assets',
  'retention',
  'schedules',
  'tasks',
  'executors',
  'webhooks',
];

/** Modules that a client talks to: each has a module, a controller, a repository or query, and a door. */
const WITH_CONTROLLER = [
  'organizations',
  'auth',
  'agents',
  'secrets',
  'audit',
  'messages',
  'streams',
  'runs',
  'budgets',
  'assets',
  'retention',
  'schedules',
  'tasks',
  'webhooks',
];

const files = sources('src/modules');

test('the folders of src/modules are exactly the line of modules', () => {
  const folders = readdirSync(join(ROOT, 'src/modules'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  expect(folders.sort()).toEqual([...LINE].sort());
});

describe.each(WITH_CONTROLLER)('module %s', (name) => {
  const own = files.filter((file) => file.path.startsWith(`src/modules/${name}/`));

  test('has a Nest module, a controller, a repository and a door', () => {
    const kinds = (ending: string) => own.filter((file) => file.path.endsWith(ending)).length;
    expect(existsSync(join(ROOT, `src/modules/${name}/${name}.module.ts`))).toBe(true);
    expect(existsSync(join(ROOT, `src/modules/${name}/index.ts`))).toBe(true);
    expect(kinds('.controller.ts')).toBeGreaterThan(0);
    expect(kinds('.repository.ts')).toBeGreaterThan(0);
  });
});

test('a module imports only modules to its left, and only through their door', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const from = file.path.split('/')[2] ?? '';
    for (const [, target] of file.text.matchAll(/from '((?:\.\.\/)+[^']+)'/g)) {
      const path = join(file.path, '..', target ?? '').split('/');
      if (path[0] !== 'src' || path[1] !== 'modules' || path[2] === from || path[2]?.endsWith('.js') === true) {
        continue;
      }
      const to = path[2] ?? '';
      if (LINE.indexOf(to) > LINE.indexOf(from) || path[3] !== 'index.js') {
        wrong.push(`${file.path} → ${target ?? ''}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('no file is called utils, common, shared or helpers', () => {
  const named = sources('src').filter((file) => /(^|\/)(utils?|common|shared|helpers?)([./]|$)/.test(file.path));
  expect(named.map((file) => file.path)).toEqual([]);
});

test('no source file is longer than 500 lines', () => {
  const long = [...sources('src'), ...sources('test')].filter((file) => file.text.split('\n').length > 500);
  expect(long.map((file) => file.path)).toEqual([]);
});

test('only src/config reads the environment', () => {
  const readers = sources('src').filter(
    (file) => file.text.includes('process.env') && !file.path.startsWith('src/config/'),
  );
  expect(readers.map((file) => file.path)).toEqual([]);
});
