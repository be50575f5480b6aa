/**
 * Imports go one way: kernel < config, access < database < infrastructure < http < modules < surfaces < app. Modules stand in one line; each
 * may import only what stands to its left, and only through its door (index.ts).
 */
const LAYERS = [
  ['kernel', '^src/kernel/'],
  ['config', '^src/config/'],
  ['access', '^src/access/'],
  ['database', '^src/database/'],
  ['infrastructure', '^src/infrastructure/'],
  ['http', '^src/http/'],
  ['modules', '^src/modules/'],
  ['surfaces', '^src/surfaces/'],
  ['app', '^src/[^/]+\\.ts$'],
];

const MODULES = [
  'organizations',
  'auth',
  'agents',
  'secrets',
  'audit',
  'messages',
  'streams',
  'runs',
  'budgets',
  'assets',
  'retention',
  'schedules',
  'tasks',
  'executors',
  'webhooks',
];

/** config and access do not know each other. */
const SIBLINGS = [
  { name: 'access-not-config', severity: 'error', from: { path: '^src/access/' }, to: { path: '^src/config/' } },
];

const layers = LAYERS.slice(0, -1).map(([name, path], index) => ({
  name: `${name}-imports-only-what-is-below`,
  severity: 'error',
  from: { path },
  to: { path: LAYERS.slice(index + 1).map(([, above]) => above) },
}));

const line = MODULES.slice(0, -1).map((name, index) => ({
  name: `${name}-stands-left-of-what-it-must-not-import`,
  severity: 'error',
  from: { path: `^src/modules/${name}/` },
  to: { path: `^src/modules/(${MODULES.slice(index + 1).join('|')})/` },
}));

const doors = [
  {
    name: 'modules-through-their-door',
    severity: 'error',
    comment: 'Another module is imported through its index.ts only.',
    from: { path: '^src/modules/([^/]+)/' },
    to: {
      path: '^src/modules/[^/]+/',
      pathNot: ['^src/modules/$1/', '^src/modules/[^/]+/index\\.ts$', '^src/modules/entities\\.ts$'],
    },
  },
  {
    name: 'surfaces-and-app-through-doors',
    severity: 'error',
    from: { path: '^src/(surfaces/|[^/]+\\.ts$)' },
    to: { path: '^src/modules/[^/]+/', pathNot: '^src/modules/[^/]+/index\\.ts$' },
  },
  {
    name: 'surfaces-do-not-know-each-other',
    severity: 'error',
    from: { path: '^src/surfaces/([^/]+)/' },
    to: { path: '^src/surfaces/([^/]+)/', pathNot: '^src/surfaces/$1/' },
  },
  {
    name: 'access-is-pure',
    severity: 'error',
    comment: 'MAY YOU is data and functions: no input or output, no framework.',
    from: { path: '^src/access/' },
    to: {
      path: ['^node_modules/@nestjs', '^node_modules/typeorm', '^node_modules/pg', '^(node:)?(fs|net|http|https)'],
    },
  },
  {
    name: 'kernel-is-small',
    severity: 'error',
    from: { path: '^src/kernel/' },
    to: { path: ['^node_modules/@nestjs', '^node_modules/typeorm', '^node_modules/pg'] },
  },
  {
    name: 'typeorm-stays-with-data',
    severity: 'error',
    comment: 'The data source is for the database folder; modules know entities and the transaction they are handed.',
    from: { path: '^src/', pathNot: ['^src/database/', '\\.entity\\.ts$', '\\.entities\\.ts$', '\\.repository\\.ts$'] },
    to: { path: '^node_modules/typeorm' },
  },
  { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  {
    name: 'no-orphans',
    severity: 'error',
    from: { orphan: true, pathNot: ['\\.d\\.ts$', '^src/(main|admin)\\.ts$'] },
    to: {},
  },
  { name: 'not-to-dev', severity: 'error', from: { path: '^src/' }, to: { dependencyTypes: ['npm-dev'] } },
  { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [...SIBLINGS, ...layers, ...line, ...doors],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    exclude: { path: '^migrations/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
