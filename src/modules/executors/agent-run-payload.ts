import type { ClaimedWork } from '../runs/index.js';

/** What an agent of other people's is told of a run: what a worker is told, but for the lease, which stays here, and its secrets. */
export function agentRunPayload({
  run,
  task,
  messages,
  resume,
}: ClaimedWork): Pick<ClaimedWork, 'run' | 'task' | 'messages' | 'resume'> {
  return { run, task, messages, resume };
}

/** The text of what a person last said to the task, which a new task's prompt is; where that has no text, the prompt. */
export function latestUserText({ messages, task }: ClaimedWork): string {
  const said = messages.findLast((message) => message.role === 'user');
  const texts = said?.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])) ?? [];
  return texts.length > 0 ? texts.join('\n\n') : task.prompt;
}
