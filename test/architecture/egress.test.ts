import { expect, test } from '@jest/globals';
import ts from 'typescript';
import { sources, type SourceFile } from './sources.js';

const CONNECTING = /^(node:)?(https?|http2|net|tls|dgram|dns|dns\/promises|undici|axios|got|node-fetch|ws)$/;
const HARMLESS = ['isIP', 'isIPv4', 'isIPv6', 'Server'];

/** What the file takes, beside types, from modules that can open a connection. */
function openers(file: SourceFile): string[] {
  const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
  return tree.statements.filter(ts.isImportDeclaration).flatMap((statement) => {
    const clause = statement.importClause;
    if (
      !CONNECTING.test((statement.moduleSpecifier as ts.StringLiteral).text) ||
      clause?.phaseModifier === ts.SyntaxKind.TypeKeyword
    ) {
      return [];
    }
    const bindings = clause?.namedBindings;
    const names =
      bindings !== undefined && ts.isNamedImports(bindings)
        ? bindings.elements.filter((element) => !element.isTypeOnly).map((element) => element.name.text)
        : ['*'];
    return names.filter((name) => !HARMLESS.includes(name)).map((name) => `${file.path}: ${name}`);
  });
}

test('no file but Node’s own client in the one way out can open a connection', () => {
  const found = sources('src').flatMap(openers);
  expect(found.filter((name) => !name.startsWith('src/infrastructure/egress/node-egress.ts: '))).toEqual([]);
  expect(found.length).toBeGreaterThan(0);
});

test('nor calls fetch, or opens a socket of the browser’s kind', () => {
  const callers = sources('src').filter(({ text }) => /(?<![.\w`])fetch\(|new (WebSocket|EventSource)\(/.test(text));
  expect(callers.map(({ path }) => path)).toEqual([]);
});
