/**
 * `npm start`, `npm test` and `npm run admin` on a bare clone: looks at what is missing, installs and builds only that, then runs.
 *
 * Only Node's own modules here and in the files beside it, since nothing else is installed yet. And no static import in this file:
 * its syntax is all that an old Node has to understand to be told that it is too old.
 */
const LEAST_NODE = [20, 19];
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1])) {
  process.stderr.write(
    'taskyard: Node ' + process.versions.node + ' is too old: install Node ' + LEAST_NODE.join('.') + ' or newer.\n',
  );
  process.exitCode = 1;
} else {
  import('./run.mjs').then(({ run }) => run(process.argv[2], process.argv.slice(3)));
}
