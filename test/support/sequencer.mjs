import { createRequire } from 'node:module';
import { relative } from 'node:path';

const Sequencer = createRequire(import.meta.url)('@jest/test-sequencer').default;

/** The longest ones, longest first: begun last, one of them would keep a single worker busy after all others are done. */
const FIRST = [
  'test/faults/faults.test.ts',
  'test/access/matrix.test.ts',
  'test/integration/auth-process.test.ts',
  'test/faults/transitions.test.ts',
  'test/integration/command-agents.test.ts',
  'test/faults/secrets.test.ts',
  'test/faults/streams.test.ts',
];

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path, context }) => {
      const index = FIRST.indexOf(relative(context.config.rootDir, path));
      return index < 0 ? FIRST.length : index;
    };
    return [...super.sort(tests)].sort((a, b) => rank(a) - rank(b));
  }
}
