/** What a body says of an agent, as what is stored: defaults applied, patches merged, and all of it checked. Pure. */
import { mergePatch, type JsonObject } from '../../http/pipes/merge-patch.js';
import { assertNever } from '../../kernel/assert-never.js';
import { DomainError, invalid } from '../../kernel/errors.js';
import type { AgentDestinations } from './agent-destinations.js';
import type { AgentChanges, AgentColumns } from './agents.repository.js';
import {
  AGENT_DEFAULTS,
  BUILTIN_NAMES,
  CONFIG_BYTES,
  type AgentKind,
  type AgentPatch,
  type AgentView,
  type NewAgentInput,
} from './agents.schema.js';
import { QUEUE_DEFAULTS, RETRY_DEFAULTS, retryPolicy } from './queue/queue-settings.js';
import { type RunConfig, runConfigSchema } from './run-config.schema.js';

/** @throws DomainError `invalid-request` */
export function newAgent(input: NewAgentInput, destinations: AgentDestinations): AgentColumns & { kind: AgentKind } {
  const config = input.config ?? {};
  assertConfig(input.kind, config, destinations);
  return {
    slug: input.slug,
    name: input.name ?? input.slug,
    kind: input.kind,
    version: input.version ?? AGENT_DEFAULTS.version,
    description: input.description ?? AGENT_DEFAULTS.description,
    config,
    maxAttempts: input.max_attempts ?? AGENT_DEFAULTS.max_attempts,
    timeoutSeconds: input.timeout_seconds ?? AGENT_DEFAULTS.timeout_seconds,
    leaseSeconds: input.lease_seconds ?? AGENT_DEFAULTS.lease_seconds,
    retry: retryPolicy(RETRY_DEFAULTS, input.retry ?? null),
    concurrencyLimit: input.concurrency_limit ?? QUEUE_DEFAULTS.concurrency_limit,
    concurrencyKeyLimit: input.concurrency_key_limit ?? QUEUE_DEFAULTS.concurrency_key_limit,
    concurrencyStrategy: input.concurrency_strategy ?? QUEUE_DEFAULTS.concurrency_strategy,
    defaultRunConfig: input.default_run_config ?? {},
    allowedSecretNames: input.allowed_secret_names ?? [],
  };
}

/** A merge patch (RFC 7396) over what is there; null gives back the default. @throws DomainError as `newAgent` does */
export function changesOf(before: AgentView, patch: AgentPatch, destinations: AgentDestinations): AgentChanges {
  const config = merged(before.config, patch.config);
  if (config !== undefined) {
    assertConfig(before.kind, config, destinations);
  }
  const defaultRunConfig = merged(before.default_run_config, patch.default_run_config);
  return {
    slug: patch.slug,
    name: patch.name,
    version: orDefault(patch.version, AGENT_DEFAULTS.version),
    description: orDefault(patch.description, AGENT_DEFAULTS.description),
    config,
    maxAttempts: orDefault(patch.max_attempts, AGENT_DEFAULTS.max_attempts),
    timeoutSeconds: orDefault(patch.timeout_seconds, AGENT_DEFAULTS.timeout_seconds),
    leaseSeconds: orDefault(patch.lease_seconds, AGENT_DEFAULTS.lease_seconds),
    retry: patch.retry === undefined ? undefined : retryPolicy(before.retry, patch.retry),
    concurrencyLimit: patch.concurrency_limit,
    concurrencyKeyLimit: orDefault(patch.concurrency_key_limit, QUEUE_DEFAULTS.concurrency_key_limit),
    concurrencyStrategy: orDefault(patch.concurrency_strategy, QUEUE_DEFAULTS.concurrency_strategy),
    defaultRunConfig: defaultRunConfig === undefined ? undefined : parsedRunConfig(defaultRunConfig),
    allowedSecretNames: patch.allowed_secret_names ?? (goesElsewhere(before, config) ? [] : undefined),
  };
}

/** The agents that a run configuration names, with where it names each. */
export function namedAgents(config: RunConfig, pointer: string): { id: string; pointer: string }[] {
  const one = config.agent_id === undefined ? [] : [{ id: config.agent_id, pointer: `${pointer}/agent_id` }];
  return [...one, ...(config.agent_ids ?? []).map((id, index) => ({ id, pointer: `${pointer}/agent_ids/${index}` }))];
}

/**
 * True where the change sends what the agent is given to another place: its secrets were meant for the one before, and go along only
 * where the same request says so.
 */
function goesElsewhere(before: AgentView, config: JsonObject | undefined): boolean {
  const changed = (name: string): boolean => config !== undefined && config[name] !== before.config[name];
  switch (before.kind) {
    case 'http':
      return changed('url');
    case 'command':
      return changed('command');
    case 'builtin':
      return changed('builtin');
    case 'worker':
      return false;
    default:
      return assertNever(before.kind);
  }
}

function assertConfig(kind: AgentKind, config: JsonObject, destinations: AgentDestinations): void {
  if (Buffer.byteLength(JSON.stringify(config)) > CONFIG_BYTES) {
    throw invalid('/config', 'must be at most 64 KiB as JSON');
  }
  switch (kind) {
    case 'builtin':
      assertBuiltin(config);
      break;
    case 'http':
      destinations.assertHttp(config);
      break;
    case 'command':
      destinations.assertCommand(config);
      break;
    case 'worker':
      break;
    default:
      assertNever(kind);
  }
}

function assertBuiltin(config: JsonObject): void {
  const names: readonly unknown[] = BUILTIN_NAMES;
  if (!names.includes(config['builtin'])) {
    throw invalid('/config/builtin', `must be one of ${BUILTIN_NAMES.join(', ')}`);
  }
  const other = Object.keys(config).find((key) => key !== 'builtin');
  if (other !== undefined) {
    throw invalid('/config', 'A builtin agent takes no configuration but its name.');
  }
}

function merged(before: unknown, patch: JsonObject | null | undefined): JsonObject | undefined {
  if (patch === undefined) {
    return undefined;
  }
  return patch === null ? {} : mergePatch(before, patch);
}

function parsedRunConfig(value: JsonObject): RunConfig {
  const parsed = runConfigSchema.safeParse(value);
  if (parsed.success) {
    return parsed.data;
  }
  const issues = parsed.error.issues.slice(0, 20).map((issue) => ({
    path: ['/default_run_config', ...issue.path.map(String)].join('/'),
    message: issue.message,
  }));
  throw new DomainError('invalid-request', `${issues[0]?.path ?? ''}: ${issues[0]?.message ?? ''}`, { issues });
}

function orDefault<Value>(given: Value | null | undefined, standard: Value): Value | undefined {
  return given === null ? standard : given;
}
