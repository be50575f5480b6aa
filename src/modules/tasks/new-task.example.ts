/** A request that creates a task, which a fresh server accepts as it is. In a file of its own because the request's schema refers to it. */
export const NEW_TASK_EXAMPLE = {
  agent: 'digest',
  title: 'Digest of the handbook',
  prompt: '# Handbook\n\nWelcome. This is how we work.',
  tags: ['handbook'],
} as const;
