// A program as an agent of kind `command`: counts the words of what it is asked, and leaves a file. See docs/agents/command.md.
//
//   AGENTS_FILE=examples/agents.json npm start      (with the paths in it set to where this file is)
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

const say = (type, data) => process.stdout.write(`${JSON.stringify({ type, data })}\n`);

const text = readFileSync('prompt.txt', 'utf8');
const counts = new Map();
for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}
console.log(`${counts.size} different words`); // a line that is no event is a line of the log
const top = [...counts].sort((left, right) => right[1] - left[1]).slice(0, 10);

writeFileSync('out/words.csv', top.map((row) => row.join(',')).join('\n')); // a file in out/ is an asset
const words = top.map(([word]) => word).join(', ');
say('message', { role: 'assistant', parts: [{ type: 'text', text: `The most frequent words: ${words}.` }] });
say('output', { different_words: counts.size, top: Object.fromEntries(top) });
