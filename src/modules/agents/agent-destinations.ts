/** What the `config` of agents that reach beyond this process may say: `http` a URL, `command` a program of the operator's. */
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AppConfig } from '../../config/app-config.js';
import { Egress } from '../../infrastructure/egress/egress.js';
import { SigningSecrets } from '../../infrastructure/egress/signing-secrets.js';
import { secretText } from '../../infrastructure/egress/standard-webhooks.js';
import { DomainError, invalid } from '../../kernel/errors.js';

const MAX_HEADERS = 20;

/** Ours to say, or the connection's. */
const OWN_HEADERS =
  /^(host|connection|content-.*|accept|accept-encoding|transfer-encoding|te|trailer|upgrade|expect|keep-alive|webhook-.*|proxy-.*)$/;
/** An agent's configuration is read by everybody who may run it. */
const SECRET_HEADERS = /^(authorization|cookie|.*api-?key|.*token|.*secret)$/;

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'must be the name of a header')
  .refine((name) => !OWN_HEADERS.test(name.toLowerCase()), 'is set by the server')
  .refine(
    (name) => !SECRET_HEADERS.test(name.toLowerCase()),
    'would hold a secret, and everybody who may run the agent reads its config; verify the signature instead',
  );
const headerValue = z.string().regex(/^[\x20-\x7e]{0,1024}$/, 'must be at most 1024 visible ASCII characters');

export const httpConfigSchema = z.strictObject({
  url: z.string({ error: 'must be given: the https URL that runs are sent to' }),
  headers: z
    .record(headerName, headerValue)
    .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, `must be at most ${MAX_HEADERS}`)
    .optional(),
});
export type HttpConfig = z.output<typeof httpConfigSchema>;

export const commandConfigSchema = z.strictObject({
  command: z.string({ error: 'must be given: the name of a command in the operator’s file' }),
});
export type CommandConfig = z.output<typeof commandConfigSchema>;

@Injectable()
export class AgentDestinations {
  constructor(
    private readonly egress: Egress,
    private readonly signing: SigningSecrets,
    private readonly config: AppConfig,
  ) {}

  /** @throws DomainError `invalid-request` where it is no configuration of an http agent, or the URL must not be called */
  assertHttp(config: unknown): void {
    const { url } = parsed(httpConfigSchema, config);
    const reason = this.egress.refusal(url);
    if (reason !== null) {
      throw invalid('/config/url', reason);
    }
  }

  /** @throws DomainError `invalid-request` where the operator has listed no such command */
  assertCommand(config: unknown): void {
    const { command } = parsed(commandConfigSchema, config);
    if (!this.config.commands.has(command)) {
      throw invalid('/config/command', 'There is no command of this name in the operator’s AGENTS_FILE.');
    }
  }

  /** The newest secret that requests to this http agent are signed with, and the origin it is for. */
  signingSecret(organizationId: string, agentId: string, config: unknown): { secret: string; origin: string } {
    const { url } = parsed(httpConfigSchema, config);
    const [secret] = this.signing.ofAgent(organizationId, agentId, url);
    if (secret === undefined) {
      throw new DomainError('internal', 'There is no key to derive a secret from.');
    }
    return { secret: secretText(secret), origin: new URL(url).origin };
  }
}

function parsed<Config>(schema: z.ZodType<Config>, config: unknown): Config {
  const result = schema.safeParse(config);
  if (result.success) {
    return result.data;
  }
  const [issue] = result.error.issues;
  const at = issue?.code === 'unrecognized_keys' ? [...issue.path, ...issue.keys.slice(0, 1)] : (issue?.path ?? []);
  // A wrong name of a record's member has its own reason one level down.
  const message = issue?.code === 'invalid_key' ? issue.issues[0]?.message : issue?.message;
  throw invalid(
    ['/config', ...at.map((part) => String(part).replaceAll('~', '~0').replaceAll('/', '~1'))].join('/'),
    message ?? 'is not understood',
  );
}
