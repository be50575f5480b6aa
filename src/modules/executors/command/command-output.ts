/** What a program says: lines of its standard output as events, of its standard error as warnings; bounded in bytes and events. */
import { asOutput, eventsOfText, logEvents, readLines, textOf, understand } from '../agent-lines.js';
import { type HeldRun, RunFailure } from '../executor.js';
import type { WorkerEvent } from '../../runs/index.js';

const MOST_EVENTS = 100_000;
const LAST_WORDS_CHARACTERS = 500;

export class CommandOutput {
  #bytes = 0;
  #events = 0;
  #output: Record<string, unknown> | null = null;
  #lastWarning = '';

  constructor(
    private readonly run: HeldRun,
    private readonly mostBytes: number,
  ) {}

  /** The last line `{"type":"output","data":{…}}`; null where there was none. */
  get output(): Record<string, unknown> | null {
    return this.#output;
  }

  /** The end of the last line of the standard error, for the sentence that says how it went wrong. */
  get lastWarning(): string {
    return this.#lastWarning;
  }

  /** @throws RunFailure for more than is allowed, the signal's reason where the run is over */
  async readOutput(stream: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const bytes of readLines(this.#counted(stream))) {
      const line = understand(bytes);
      if (line.kind === 'event') {
        await this.#emit([line.event]);
      } else if (line.kind === 'text') {
        await this.#emit(eventsOfText(line));
      } else if (line.type === 'output') {
        this.#output = asOutput(line.value['data'], 'The output');
      } else {
        await this.#emit(logEvents(textOf(bytes), 'info'));
      }
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
    if (this.#events > MOST_EVENTS) {
      throw new RunFailure('OutputTooLarge', `The program wrote more than ${MOST_EVENTS} events.`, false);
    }
    for (const event of events) {
      this.run.emit(event);
    }
    await this.run.room();
  }
}
