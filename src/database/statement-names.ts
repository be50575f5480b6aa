import type { Sql } from './sql.js';

/** Prepared statements are kept per connection for good, so only so many texts get a name. */
const MAX_PREPARED = 400;

export interface PreparedQuery {
  name?: string;
  text: string;
  values: unknown[];
}

/** Gives each statement text a short name, the same for the life of the process. */
export class StatementNames {
  readonly #names = new Map<string, string>();

  prepared(statement: Sql): PreparedQuery {
    const text = statement.text;
    let name = this.#names.get(text);
    if (name === undefined && this.#names.size < MAX_PREPARED) {
      name = `s${this.#names.size + 1}`;
      this.#names.set(text, name);
    }
    return name === undefined ? { text, values: statement.values } : { name, text, values: statement.values };
  }
}
