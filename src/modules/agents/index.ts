export { AgentsModule } from './agents.module.js';
export { AgentsService } from './agents.service.js';
export { type CommandConfig, type HttpConfig, commandConfigSchema, httpConfigSchema } from './agent-destinations.js';
export type { AgentForExecution, AgentRow } from './agents.repository.js';
export { AGENT_KINDS, BUILTIN_NAMES, agentSchema, type AgentKind, type AgentView } from './agents.schema.js';
export { DefaultAgentProvisioner } from './default-agent-provisioner.js';
export {
  resolveRunConfig,
  resolvedRunConfigSchema,
  runConfigSchema,
  type ResolvedRunConfig,
  type RunConfig,
  type RunConfigSources,
} from './run-config.schema.js';
export { AgentEntity } from './agent.entity.js';
