/** Where the product writes what an operator should know. Structured: a sentence, then facts. Never a secret, never a payload. */
export abstract class Log {
  abstract info(message: string, facts?: Readonly<Record<string, unknown>>): void;
  abstract warn(message: string, facts?: Readonly<Record<string, unknown>>): void;
  abstract error(message: string, facts?: Readonly<Record<string, unknown>>): void;
  abstract debug(message: string, facts?: Readonly<Record<string, unknown>>): void;
}
