/** The line in which an agent says how its run ended, `complete` or `fail`: the same over HTTP and on the output of a command. */
import { z } from 'zod';
import { asFailure } from '../runs/index.js';
import { asOutput, type Line } from './agent-lines.js';
import { RunFailure, type RunResult } from './executor.js';

const completeSchema = z.object({
  output: z.unknown().optional(),
  cost_in_cents: z.number().min(0).max(1_000_000_000).nullish(),
});

/**
 * The result that a `complete` line gives; null for a line that does not end the run.
 * @throws RunFailure for `fail`, and for a result whose content cannot be read
 */
export function resultOf(line: Line): RunResult | null {
  if (line.kind === 'object') {
    return ending(line);
  }
  if (line.kind === 'text' && line.wrong !== null) {
    assertNoLostOutput(line, 'complete');
    if (line.type === 'fail') {
      throw new RunFailure('Error', `The agent reported a failure that cannot be read: ${line.wrong}`, true);
    }
  }
  return null;
}

/** @throws RunFailure for a line of `type`, which has the run's output, that cannot be read */
export function assertNoLostOutput(line: Extract<Line, { kind: 'text' }>, type: 'complete' | 'output'): void {
  if (line.wrong !== null && line.type === type) {
    throw new RunFailure('InvalidOutput', `The output cannot be taken: ${line.wrong}`, false);
  }
}

function ending({ type, value }: Extract<Line, { kind: 'object' }>): RunResult | null {
  // Under a name of SSE, the object is the data itself. A line without `data` has its members beside its type.
  const data = value['type'] === type ? (value['data'] ?? value) : value;
  if (type === 'complete') {
    const { output, cost_in_cents: costInCents } = said(type, data);
    return { output: asOutput(output ?? {}, 'The output'), ...(costInCents == null ? {} : { costInCents }) };
  }
  if (type === 'fail') {
    const { error, retry } = asFailure(data);
    throw new RunFailure(error.name, error.message, retry ?? true, error.stack_trace);
  }
  return null;
}

function said(type: string, data: unknown): z.output<typeof completeSchema> {
  const parsed = completeSchema.safeParse(data);
  if (parsed.success) {
    return parsed.data;
  }
  const [issue] = parsed.error.issues;
  throw new RunFailure('InvalidReply', `${type}: /data/${issue?.path.join('/') ?? ''}: ${issue?.message ?? ''}`, false);
}
