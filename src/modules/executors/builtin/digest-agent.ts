import type { LeasedRun } from '../executor.js';
import { type BuiltinAgent, invalidInput } from './builtin-agent.js';
import { digest, type DigestInput } from './digest/digest.js';
import { latestUserText } from '../agent-run-payload.js';
import { digestPayloadSchema } from './digest/digest.schema.js';

/** The builtin agent `digest`: an extractive digest of the payload's text, or of the prompt. */
export class DigestAgent implements BuiltinAgent {
  readonly name = 'digest';

  async execute(run: LeasedRun): Promise<Record<string, unknown>> {
    const progress = digest(inputOf(run), { signal: run.signal });
    let step = await progress.next();
    while (step.done !== true) {
      run.emit(step.value);
      step = await progress.next();
    }
    const { output, message, chart } = step.value;
    const assetId = await run.keep({
      name: chart.name,
      type: 'image',
      contentType: chart.contentType,
      bytes: chart.bytes,
      metadata: { width: chart.width, height: chart.height },
    });
    run.emit({
      type: 'message',
      data: {
        role: 'assistant',
        parts: [
          { type: 'text', text: message },
          { type: 'file', asset_id: assetId, name: chart.name, media_type: chart.contentType },
        ],
      },
    });
    return { ...output };
  }
}

function inputOf(run: LeasedRun): DigestInput {
  const payload = digestPayloadSchema.safeParse(run.work.run.payload ?? {});
  if (!payload.success) {
    const [issue] = payload.error.issues;
    throw invalidInput(`payload/${issue?.path.join('/') ?? ''}: ${issue?.message ?? 'not understood'}`);
  }
  const { text = latestUserText(run.work), title, sentences, keywords } = payload.data;
  if (text.trim() === '') {
    throw invalidInput('There is no text to digest: give a prompt, or a payload with "text".');
  }
  return {
    text,
    ...(title === undefined ? {} : { title }),
    ...(sentences === undefined ? {} : { sentences }),
    ...(keywords === undefined ? {} : { keywords }),
  };
}
