import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ConfigError, loadConfig } from '../../src/config/app-config.js';

describe('AGENTS_FILE', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskyard-agents-file-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const load = async (content: unknown) => {
    const path = join(folder, 'agents.json');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return () => loadConfig({ AGENTS_FILE: path });
  };

  test.each([
    ['no JSON', '{', 'not JSON'],
    ['no commands', {}, 'commands'],
    ['a relative program', { commands: { x: { program: 'node' } } }, 'absolute'],
    ['a program that is not there', { commands: { x: { program: '/nowhere/at/all' } } }, 'no executable file'],
    ['a program that is a folder', { commands: { x: { program: '/tmp' } } }, 'no executable file'],
    ['an unknown setting', { commands: { x: { program: process.execPath, shell: true } } }, 'shell'],
    ['a name with a slash', { commands: { '../x': { program: process.execPath } } }, 'commands'],
    [
      'a secret of the server’s passed on',
      { commands: { x: { program: process.execPath, pass_env: ['ROOT_KEY'] } } },
      'not passed on',
    ],
  ])('with %s stops the start with a sentence', async (_what, content, part) => {
    const loading = await load(content);
    expect(loading).toThrow(ConfigError);
    expect(loading).toThrow(part);
  });

  test('that is not there stops the start', () => {
    expect(() => loadConfig({ AGENTS_FILE: join(folder, 'absent.json') })).toThrow(ConfigError);
  });
});
