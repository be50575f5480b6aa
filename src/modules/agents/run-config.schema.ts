import { z } from 'zod';

const MAX_AGENTS = 20;

/** How a run is to go, each part optional: what an agent, a task or one run says of it. Null is a value, not an absence. */
export const runConfigSchema = z
  .strictObject({
    agent_id: z.uuid({ error: 'must be a UUID' }).toLowerCase(),
    agent_ids: z.array(z.uuid({ error: 'must be a UUID' }).toLowerCase()).max(MAX_AGENTS),
    ask_question: z.boolean().describe('Whether the agent may ask back.'),
    auto_execute: z.boolean().describe('Whether it acts without approval.'),
    max_iterations: z.int().min(0).max(5),
    max_steps: z.int().min(4).max(200),
    model: z.string().min(1).max(200).nullable(),
    sandbox_id: z.uuid({ error: 'must be a UUID' }).toLowerCase().nullable(),
  })
  .partial()
  .meta({ id: 'RunConfig' });
export type RunConfig = z.output<typeof runConfigSchema>;

/** How a run goes: every part decided. */
export const resolvedRunConfigSchema = z
  .object({
    agent_id: z.uuid(),
    agent_ids: z.array(z.uuid()),
    ask_question: z.boolean(),
    auto_execute: z.boolean(),
    max_iterations: z.int(),
    max_steps: z.int(),
    model: z.string().nullable(),
    sandbox_id: z.uuid().nullable(),
  })
  .meta({ id: 'ResolvedRunConfig' });
export type ResolvedRunConfig = z.output<typeof resolvedRunConfigSchema>;

/** The top of one allowed range and the middle of the other: room to work, and still an end. */
const DEFAULTS = {
  ask_question: true,
  auto_execute: true,
  max_iterations: 5,
  max_steps: 100,
  model: null,
  sandbox_id: null,
};

export interface RunConfigSources {
  /** The agent that runs; it is in the configuration unless something says otherwise. */
  agentId: string;
  /** `default_run_config` of the agent and `run_config` of the task, as stored. */
  agentDefault: unknown;
  task: unknown;
  /** The task's `model`, short for `run_config.model`. */
  taskModel: string | null;
}

/** The configuration of one run, part by part: the run's own word, else the task's, else the agent's, else ours. */
export function resolveRunConfig(sources: RunConfigSources, run: RunConfig = {}): ResolvedRunConfig {
  const agent = stored(sources.agentDefault);
  const task = stored(sources.task);
  const taskModel = sources.taskModel === null ? {} : { model: sources.taskModel };
  const said = { ...DEFAULTS, ...given(agent), ...given(task), ...taskModel, ...given(run) };
  const agentId = said.agent_id ?? sources.agentId;
  return resolvedRunConfigSchema.parse({ ...said, agent_id: agentId, agent_ids: said.agent_ids ?? [agentId] });
}

/** What was stored was valid when it was; should a later version narrow a range, what no longer fits is left out as a whole. */
function stored(value: unknown): RunConfig {
  const parsed = runConfigSchema.safeParse(value ?? {});
  return parsed.success ? parsed.data : {};
}

/** Without the parts that are `undefined`, which would hide what is less specific. */
function given(config: RunConfig): RunConfig {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}
