/**
 * Joins calls that arrive together into one, as a database joins commits: while one flush of a key is under way, what arrives waits
 * and goes together with the next. A call that comes alone waits for nobody, so a quiet server is not slower for it; a busy one does
 * one statement for many. Nothing is joined but the way there: each call has its own result.
 *
 * A flush that fails says nothing about which of its items it failed for. So each is then flushed alone, and fails or not by itself;
 * a flush must therefore be all or nothing, and safe to ask again.
 */
export interface BatchExecutorOptions<Item> {
  /** Items of one flush at most. */
  most: number;
  /** Weight of one flush at most, but for an item that is heavier alone. */
  mostWeight?: number;
  weigh?: (item: Item) => number;
  /** Flushes of one key that may be under way at once. */
  flights: number;
}

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

interface Line<Context, Item, Result> {
  context: Context;
  waiting: Waiting<Item, Result>[];
  flights: number;
  isDue: boolean;
}

export class BatchExecutor<Context, Item, Result> {
  readonly #lines = new Map<string, Line<Context, Item, Result>>();

  /** `flush` answers with one result for each item, in their order. */
  constructor(
    private readonly flush: (context: Context, items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly options: BatchExecutorOptions<Item>,
  ) {}

  /** Joins `item` with others of the same key, whose contexts are therefore alike. */
  add(key: string, context: Context, item: Item): Promise<Result> {
    const line = this.#lines.get(key) ?? { context, waiting: [], flights: 0, isDue: false };
    this.#lines.set(key, line);
    return new Promise((resolve, reject) => {
      line.waiting.push({ item, resolve, reject });
      this.#schedule(key, line);
    });
  }

  /** What arrives in this turn of the event loop goes together. */
  #schedule(key: string, line: Line<Context, Item, Result>): void {
    if (line.isDue || line.flights >= this.options.flights) {
      return;
    }
    line.isDue = true;
    setImmediate(() => {
      line.isDue = false;
      void this.#fly(key, line);
    });
  }

  async #fly(key: string, line: Line<Context, Item, Result>): Promise<void> {
    const batch = this.#take(line);
    line.flights += 1;
    if (line.waiting.length > 0) {
      this.#schedule(key, line);
    }
    try {
      await this.#deliver(line.context, batch);
    } finally {
      line.flights -= 1;
      if (line.waiting.length > 0) {
        this.#schedule(key, line);
      } else if (line.flights === 0 && !line.isDue) {
        this.#lines.delete(key);
      }
    }
  }

  #take(line: Line<Context, Item, Result>): Waiting<Item, Result>[] {
    const { most, mostWeight = Infinity, weigh = () => 1 } = this.options;
    let weight = 0;
    const tooMany = line.waiting.findIndex(({ item }, index) => {
      weight += weigh(item);
      return index >= most || (index > 0 && weight > mostWeight);
    });
    return line.waiting.splice(0, tooMany < 0 ? line.waiting.length : tooMany);
  }

  async #deliver(context: Context, batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.flush(
        context,
        batch.map(({ item }) => item),
      );
      batch.forEach(({ resolve, reject }, index) => {
        const result = results[index];
        if (index < results.length && result !== undefined) {
          resolve(result);
        } else {
          reject(new Error('a gathered call was given no result'));
        }
      });
    } catch (error) {
      if (batch.length === 1) {
        batch.forEach(({ reject }) => reject(error));
        return;
      }
      for (const one of batch) {
        await this.#deliver(context, [one]);
      }
    }
  }
}
