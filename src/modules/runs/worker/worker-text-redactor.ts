/**
 * What a worker says under a lease, with the secrets taken out, before any of it is stored. Free texts and JSON are looked through whole;
 * ids, numbers that are counted and words of the protocol stay as they are, since what is left of them would be none. A text that has a
 * limit keeps to it afterwards.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { NOTHING_TO_REDACT, type Redactor, SecretValues } from '../../secrets/index.js';
import { type Fence, fenceForWorker, mayHoldSecrets, parseFence } from '../core/leases.js';
import type { AskInput, ChildrenInput } from '../interaction/interaction.schema.js';
import { type FailInput, fitsEvent, type WorkerEvent } from './worker.schema.js';

/** What the bytes are is then found out from them. */
const UNKNOWN_TYPE = 'application/octet-stream';
const MAX_ID_CHARACTERS = 200;
const MAX_FILE_NAME_CHARACTERS = 255;
const MAX_QUESTION_CHARACTERS = 16_384;
const MAX_OPTION_CHARACTERS = 500;
const MAX_ERROR_CHARACTERS = 8_192;
const MAX_STACK_CHARACTERS = 65_536;
const MAX_LOG_CHARACTERS = 65_536;
/** Fits one event even if each character is escaped. */
const MAX_ESCAPED_LOG_CHARACTERS = 32_768;

@Injectable()
export class WorkerTextRedactor {
  constructor(private readonly secrets: SecretValues) {}

  /** For what this lease says. One that was given nothing costs nothing. */
  async redactorOf(scope: WriteScope, runId: string, fence: Fence): Promise<Redactor> {
    return mayHoldSecrets(fence)
      ? this.secrets.redactorOf(scope, { runId, fence: fenceForWorker(fence) })
      : NOTHING_TO_REDACT;
  }

  /** Name, type and facts of a file that is left under a lease. @throws DomainError `lease-lost` for what is no fence */
  async file<Left extends { name: string; contentType: string; metadata?: Readonly<Record<string, unknown>> }>(
    scope: WriteScope,
    runId: string,
    fenceText: string,
    file: Left,
  ): Promise<Left> {
    const redactor = await this.redactorOf(scope, runId, parseFence(fenceText));
    if (redactor.isIdle) {
      return file;
    }
    const isClean = redactor.text(file.contentType) === file.contentType;
    return {
      ...file,
      name: redactor.short(file.name, MAX_FILE_NAME_CHARACTERS),
      contentType: isClean ? file.contentType : UNKNOWN_TYPE,
      ...(file.metadata === undefined ? {} : { metadata: redactor.json(file.metadata) }),
    };
  }
}

export function cleanEvents(redactor: Redactor, events: readonly WorkerEvent[]): WorkerEvent[] {
  return events.map((event) => withTextCut(redactor.isIdle ? event : cleanEvent(redactor, event)));
}

/** Events whose texts are cut instead of refused. */
type TextEvent = Extract<WorkerEvent, { type: 'log' | 'problem' }>;

function withTextCut(event: WorkerEvent): WorkerEvent {
  if (event.type !== 'log' && event.type !== 'problem') {
    return event;
  }
  const kept = withTextsOf(event, MAX_LOG_CHARACTERS);
  const length = kept.type === 'log' ? kept.data.text.length : kept.data.message.length;
  return length <= MAX_ESCAPED_LOG_CHARACTERS || fitsEvent(kept)
    ? kept
    : withTextsOf(event, MAX_ESCAPED_LOG_CHARACTERS);
}

function withTextsOf(event: TextEvent, mostCharacters: number): TextEvent {
  if (event.type === 'log') {
    return { ...event, data: { ...event.data, text: cut(event.data.text, mostCharacters) } };
  }
  const { name, message } = event.data;
  return { ...event, data: { name: cut(name, MAX_ID_CHARACTERS), message: cut(message, mostCharacters) } };
}

/** The text, or its beginning and an ellipsis; never half of a character. */
function cut(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) {
    return text;
  }
  const kept = text.slice(0, maxCharacters - 1);
  return `${/[\ud800-\udbff]$/.test(kept) ? kept.slice(0, -1) : kept}…`;
}

function cleanEvent(redactor: Redactor, event: WorkerEvent): WorkerEvent {
  const short = (text: string): string => redactor.short(text, MAX_ID_CHARACTERS);
  switch (event.type) {
    case 'message': {
      const parts = event.data.parts.map((part) =>
        part.type === 'file' ? { ...redactor.json(part), asset_id: part.asset_id } : redactor.json(part),
      );
      const { id } = event.data;
      return { ...event, data: { ...event.data, parts, ...(id === undefined ? {} : { id: short(id) }) } };
    }
    case 'tool_call':
      return {
        ...event,
        data: { ...redactor.json(event.data), id: short(event.data.id), name: short(event.data.name) },
      };
    case 'tool_result':
      return { ...event, data: { ...redactor.json(event.data), id: short(event.data.id) } };
    case 'usage': {
      const { model } = event.data;
      return model === undefined ? event : { ...event, data: { ...event.data, model: short(model) } };
    }
    case 'delta':
    case 'log':
    case 'problem':
    case 'custom':
      return redactor.json(event);
  }
}

/** Cut after it is clean: a value that is cut in two is not found. */
export function cleanError(redactor: Redactor, error: FailInput['error']): FailInput['error'] {
  const { name, message, stack_trace: stack } = error;
  return {
    name: cut(redactor.text(name), MAX_ID_CHARACTERS),
    message: cut(redactor.text(message), MAX_ERROR_CHARACTERS),
    stack_trace: stack === null ? null : cut(redactor.text(stack), MAX_STACK_CHARACTERS),
  };
}

export function cleanQuestion(redactor: Redactor, input: AskInput): AskInput {
  if (redactor.isIdle) {
    return input;
  }
  const { options, default: fallback } = input;
  // Options that differed in nothing but a secret are one; an answer is compared with what is shown.
  const option = (text: string): string => redactor.short(text, MAX_OPTION_CHARACTERS);
  return {
    ...input,
    question: redactor.short(input.question, MAX_QUESTION_CHARACTERS),
    ...(options === undefined ? {} : { options: [...new Set(options.map(option))] }),
    ...(fallback === undefined
      ? {}
      : { default: options === undefined ? redactor.short(fallback, MAX_QUESTION_CHARACTERS) : option(fallback) }),
  };
}

export function cleanChildren(redactor: Redactor, input: ChildrenInput): ChildrenInput {
  if (redactor.isIdle) {
    return input;
  }
  const runs = input.runs.map((run) => ({
    ...run,
    payload: redactor.json(run.payload),
    ...(run.run_config?.model === undefined || run.run_config.model === null
      ? {}
      : { run_config: { ...run.run_config, model: redactor.short(run.run_config.model, MAX_ID_CHARACTERS) } }),
  }));
  const batchId = cleanBatchId(redactor, input.batch_id);
  return { ...input, runs, ...(batchId === undefined ? {} : { batch_id: batchId }) };
}

/** The same batch sent again has the same id: what stands for a value is always the same. */
export function cleanBatchId(redactor: Redactor, id: string | undefined): string | undefined {
  return id === undefined ? undefined : redactor.short(id, MAX_ID_CHARACTERS);
}
