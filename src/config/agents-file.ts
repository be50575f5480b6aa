/**
 * AGENTS_FILE: the programs that agents of kind `command` may be. The operator lists them; an organisation's admins choose among
 * them by name, and nothing that comes over the network reaches a command line.
 */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { ConfigError } from './config-error.js';

const MIB = 1024 * 1024;
const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be the name of a variable');
const text = z
  .string()
  .max(32_768)
  .refine((value) => !value.includes('\0'), 'must not hold U+0000');

/** What a program must never be handed by mistake: they open everything. */
const NEVER_PASSED: readonly string[] = [
  'ROOT_KEY',
  'ROOT_KEY_FILE',
  'DATABASE_URL',
  'REDIS_URL',
  'BOOTSTRAP_API_KEY',
  'BOOTSTRAP_ADMIN_PASSWORD',
];

const commandSchema = z.strictObject({
  program: text.refine(isAbsolute, 'must be an absolute path'),
  args: z.array(text).max(1000).default([]),
  env: z.record(variableName, text).default({}),
  pass_env: z
    .array(
      variableName.refine(
        (name) => !NEVER_PASSED.includes(name),
        'is a secret of the server’s own and is not passed on',
      ),
    )
    .max(200)
    .default([]),
  secret_names: z
    .array(variableName.refine((name) => !NEVER_PASSED.includes(name), 'is a variable of the server’s own'))
    .max(100)
    .optional(),
  timeout_seconds: z.int().min(1).max(604_800).optional(),
  max_output_bytes: z
    .int()
    .min(1024)
    .max(1024 * MIB)
    .default(16 * MIB),
});

const agentsFileSchema = z.strictObject({
  commands: z.record(
    z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be a name of a-z, 0-9, _ and -, at most 63 long'),
    commandSchema,
  ),
});

/** A program of the operator's, ready to be started. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** All that the program finds in its environment, but for what says which run it is. */
  readonly env: Readonly<Record<string, string>>;
  /** Secrets of runs that it may find in its environment; null leaves it to their names. */
  readonly secretNames: readonly string[] | null;
  /** Null: the agent's own limit alone. */
  readonly timeoutSeconds: number | null;
  readonly maxOutputBytes: number;
}

/**
 * Reads the file; `variables` is where `pass_env` takes values from. With `mustExist`, each program has to be there and executable.
 * @throws ConfigError, a sentence that names the place
 */
export function loadAgentsFile(
  path: string,
  variables: Readonly<Record<string, string | undefined>>,
  mustExist: boolean,
): ReadonlyMap<string, Command> {
  const parsed = agentsFileSchema.safeParse(readJson(path));
  if (!parsed.success) {
    const issues = parsed.error.issues
      .slice(0, 5)
      .map((issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`);
    throw new ConfigError(`AGENTS_FILE (${path}) is not as it should be: ${issues.join('; ')}.`);
  }
  return new Map(
    Object.entries(parsed.data.commands).map(([name, command]) => {
      if (mustExist) {
        assertExecutable(path, name, command.program);
      }
      const passed = command.pass_env.flatMap((variable): [string, string][] => {
        const value = variables[variable];
        return value === undefined ? [] : [[variable, value]];
      });
      return [
        name,
        {
          program: command.program,
          args: command.args,
          env: { ...Object.fromEntries(passed), ...command.env },
          secretNames: command.secret_names ?? null,
          timeoutSeconds: command.timeout_seconds ?? null,
          maxOutputBytes: command.max_output_bytes,
        },
      ];
    }),
  );
}

function readJson(path: string): unknown {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`AGENTS_FILE (${path}) cannot be read.`, { cause: error });
  }
  try {
    return JSON.parse(content);
  } catch (error) {
    throw new ConfigError(`AGENTS_FILE (${path}) is not JSON.`, { cause: error });
  }
}

function assertExecutable(path: string, name: string, program: string): void {
  try {
    accessSync(program, constants.X_OK);
    if (!statSync(program).isFile()) {
      throw new Error('not a file');
    }
  } catch (error) {
    throw new ConfigError(`AGENTS_FILE (${path}): the program of ${name} (${program}) is no executable file here.`, {
      cause: error,
    });
  }
}
