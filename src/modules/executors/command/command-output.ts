/** What a program says: lines of its standard output as events, of its standard error as warnings; bounded in bytes and events. */
import { asOutput, eventsOfText, type Line, logEvents, readLines, textOf, understand } from '../agent-lines.js';
import { type LeasedRun, RunFailure, type RunResult } from '../executor.js';
import { assertNoLostOutput, resultOf } from '../result-line.js';
import type { WorkerEvent } from '../../runs/index.js';

const MAX_EVENTS = 100_000;
const LAST_WORDS_CHARACTERS = 500;

export class CommandOutput {
  #bytes = 0;
  #events = 0;
  #result: RunResult | null = null;
  #failure: RunFailure | null = null;
  #lastWarning = '';

  constructor(
    private readonly run: LeasedRun,
    private readonly mostBytes: number,
  ) {}

  /** What the last line of type `output` or `complete` gave; null where there was none. */
  get result(): RunResult | null {
    return this.#result;
  }

  /** What the first line of type `fail` said; null where there was none. */
  get failure(): RunFailure | null {
    return this.#failure;
  }

  /** The end of the last line of the standard error, for the sentence that says how it went wrong. */
  get lastWarning(): string {
    return this.#lastWarning;
  }

  /** @throws RunFailure for more than is allowed, the signal's reason where the run is over */
  async readOutput(stream: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of readLines(this.#counted(stream))) {
      const line = understand(bytes);
      if (this.#endsWith(line)) {
        continue;
      }
      if (line.kind === 'event') {
        await this.#emit([line.event]);
      } else if (line.kind === 'text') {
        await this.#emit(eventsOfText(line));
      } else {
        await this.#emit(logEvents(textOf(bytes), 'info'));
      }
    }
  }

  /** Whether the line says how the run ends. The program goes on until it ends by itself. @throws RunFailure where its output cannot be taken */
  #endsWith(line: Line): boolean {
    if (line.kind === 'text') {
      assertNoLostOutput(line, 'output');
    }
    if (line.kind === 'object' && line.type === 'output') {
      this.#result = { ...this.#result, output: asOutput(line.value['data'], 'The output') };
      return true;
    }
    try {
      const result = resultOf(line);
      this.#result = result ?? this.#result;
      return result !== null;
    } catch (error) {
      if (!(error instanceof RunFailure) || line.kind === 'event' || line.type !== 'fail') {
        throw error;
      }
      this.#failure ??= error;
      return true;
    }
  }

  /** @throws as `readOutput` does */
  async readWarnings(stream: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of readLines(this.#counted(stream))) {
      const text = textOf(bytes);
      if (text.trim() !== '') {
        this.#lastWarning = text
          .trim()
          .slice(-LAST_WORDS_CHARACTERS)
          .replace(/^[\udc00-\udfff]/, '');
      }
      await this.#emit(logEvents(text, 'warning'));
    }
  }

  async *#counted(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of stream) {
      this.#bytes += chunk.length;
      if (this.#bytes > this.mostBytes) {
        throw new RunFailure('OutputTooLarge', `The program wrote more than ${this.mostBytes} bytes.`, false);
      }
      yield chunk;
    }
  }

  async #emit(events: readonly WorkerEvent[]): Promise<void> {
    this.#events += events.length;
    if (this.#events > MAX_EVENTS) {
      throw new RunFailure('OutputTooLarge', `The program wrote more than ${MAX_EVENTS} events.`, false);
    }
    for (const event of events) {
      this.run.emit(event);
    }
    await this.run.room();
  }
}
