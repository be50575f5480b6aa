import { invalid } from '../../../kernel/errors.js';

const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * For text that did not come through `parseJsonBody`: path parameters, query values, header values, form fields, each already
 * decoded (once).
 *
 * @param path where it came from, as `InputIssue.path`: a JSON Pointer, or `?name` for a query parameter
 * @throws DomainError `invalid-request` when it holds U+0000 or half of a surrogate pair, neither of which can be stored.
 */
export function refuseUncleanText(value: string, path: string): void {
  if (value.includes('\u0000')) throw invalid(path, 'The character U+0000 is not allowed in text.');
  if (LONE_SURROGATE.test(value)) {
    throw invalid(path, 'This text holds half of a surrogate pair, which is no character.');
  }
}

/** The same for every name and value of a parsed query, those of repeated names too. */
export function refuseUncleanQuery(query: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(query)) {
    refuseUncleanText(name, '');
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    for (const item of values) {
      if (typeof item === 'string') refuseUncleanText(item, `?${name}`);
    }
  }
}
