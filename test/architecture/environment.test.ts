import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ConfigError, loadConfig } from '../../src/config/app-config.js';
import { environmentSchema } from '../../src/config/environment.schema.js';
import { ROOT } from './sources.js';

const example = readFileSync(join(ROOT, '.env.example'), 'utf8');

test('.env.example names exactly the variables of the schema, in its order, with their defaults', () => {
  const named = [...example.matchAll(/^([A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  const declared = Object.entries(environmentSchema.shape).map(([name, schema]) => {
    const value: unknown = schema.safeParse(undefined).data;
    return [name, typeof value === 'string' || typeof value === 'number' ? String(value) : ''];
  });
  expect(named).toEqual(declared);
});

test('the example as it stands is an acceptable environment', () => {
  const variables = Object.fromEntries(
    [...example.matchAll(/^([A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
  expect(loadConfig(variables).port).toBe(3000);
});

describe('a start is refused with a sentence that names the variable', () => {
  test.each([
    [{ PORT: '70000' }, 'PORT'],
    [{ DATABASE_URL: 'mysql://x' }, 'DATABASE_URL'],
    [{ BOOTSTRAP_API_KEY: 'short' }, 'BOOTSTRAP_API_KEY'],
    [{ BOOTSTRAP_ADMIN_EMAIL: 'a@example.com' }, 'BOOTSTRAP_ADMIN_PASSWORD'],
    [{ ROLE: 'everything' }, 'ROLE'],
  ])('%j', (variables, name) => {
    expect(() => loadConfig(variables)).toThrow(ConfigError);
    expect(() => loadConfig(variables)).toThrow(name);
  });

  test('ROOT_KEY is required with DATABASE_URL, and must be 32 bytes', () => {
    const url = 'postgres://localhost/x';
    expect(() => loadConfig({ DATABASE_URL: url }).rootKeys()).toThrow('ROOT_KEY');
    expect(() => loadConfig({ DATABASE_URL: url, ROOT_KEY: 'c2hvcnQ=' }).rootKeys()).toThrow('32 bytes');
  });
});
