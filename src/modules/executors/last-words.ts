import type { ClaimedWork } from '../runs/index.js';

/** The text of what a person last said to the task, which a new task's prompt is; where that has no text, the prompt. */
export function lastWords({ messages, task }: ClaimedWork): string {
  const said = messages.findLast((message) => message.role === 'user');
  const texts = said?.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])) ?? [];
  return texts.length > 0 ? texts.join('\n\n') : task.prompt;
}
