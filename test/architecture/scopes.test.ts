import { expect, test } from '@jest/globals';
import ts from 'typescript';
import { sources } from './sources.js';

/**
 * Public methods of repositories and queries that take no scope, each for a reason. The list may only shrink.
 */
const WITHOUT_SCOPE: Readonly<Record<string, string>> = {
  'KeyringRepository.exclusively': 'keys belong to the instance',
  'KeyringRepository.list': 'keys belong to the instance',
  'KeyringRepository.insert': 'keys belong to the instance',
  'ReaperRepository.reap': 'a sweep over every organisation',
  'ExecutorsRepository.dueOrganizations': 'looks for work over every organisation',
};

const SCOPES = /\b(ReadScope|WriteScope)\b/;

function* methodsWithoutScope(): Generator<string> {
  for (const file of sources('src').filter(({ path }) => /\.(repository|query)\.ts$/.test(path))) {
    const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
    for (const node of tree.statements.filter(ts.isClassDeclaration)) {
      for (const member of node.members.filter(ts.isMethodDeclaration)) {
        const hidden = ts.isPrivateIdentifier(member.name) || member.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.PrivateKeyword) === true;
        const first = member.parameters[0]?.type?.getText(tree) ?? '';
        if (!hidden && !SCOPES.test(first)) {
          yield `${node.name?.text ?? '?'}.${member.name.getText(tree)}`;
        }
      }
    }
  }
}

test('every repository method takes a scope first, but for those with a reason', () => {
  expect([...methodsWithoutScope()].sort()).toEqual(Object.keys(WITHOUT_SCOPE).sort());
});

/** Where the one way around a scope is taken. A new place is a reviewed change. */
const SYSTEM_SCOPES: readonly string[] = [];

test('a system scope is taken only where this list says', () => {
  const users = sources('src')
    .filter((file) => !file.path.startsWith('src/access/') && /\bunsafelySystemScope\(/.test(file.text))
    .map((file) => file.path);
  expect(users).toEqual(SYSTEM_SCOPES);
});
