/** What the document shows of a request that hands in a task. Apart, since the request's own schema refers to it. */
export const NEW_TASK_EXAMPLE = {
  agent: 'digest',
  title: 'Digest of the handbook',
  prompt: '# Handbook\n\nWelcome. This is how we work.',
  team_id: '019a2f5e-2222-7d2a-9a1f-2f8f6b6f0a02',
  tags: ['handbook'],
} as const;
