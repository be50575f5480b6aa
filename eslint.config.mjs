import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

const SCOPELESS_DATA = {
  name: 'typeorm',
  importNames: ['getRepository', 'Repository'],
  message: 'Repositories take a scope first; see database/database.ts.',
};

const ONE_WAY_OUT =
  'Requests to outside go through Egress (src/infrastructure/egress); nothing else opens a connection.';
/** Every module that can open a connection, in both spellings. Types may be imported; so may what only reads an address, or listens. */
const CONNECTING = [
  ...['http', 'https', 'http2', 'net', 'tls', 'dgram', 'dns', 'dns/promises'].flatMap((name) => [name, `node:${name}`]),
  ...['undici', 'axios', 'got', 'node-fetch', 'ws'],
].map((name) => ({
  name,
  message: ONE_WAY_OUT,
  allowTypeImports: true,
  ...(/^(node:)?net$/.test(name) ? { allowImportNames: ['isIP', 'isIPv4', 'isIPv6', 'Server'] } : {}),
}));

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'coverage', 'data', 'bench/results'] },
  js.configs.recommended,
  {
    files: ['**/*.mjs'],
    rules: { 'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }] },
    languageOptions: {
      globals: {
        AbortSignal: 'readonly',
        AbortController: 'readonly',
        Buffer: 'readonly',
        console: 'readonly',
        fetch: 'readonly',
        process: 'readonly',
        performance: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
        TextDecoder: 'readonly',
        TextDecoderStream: 'readonly',
        URL: 'readonly',
      },
    },
  },
  {
    // Modules that run in a browser, served as they are.
    files: ['src/modules/assets/embed/viewer/*.js'],
    rules: { 'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }] },
    languageOptions: {
      globals: Object.fromEntries(
        ['HTMLMediaElement', 'Image', 'ResizeObserver', 'TextDecoder', 'URL', 'addEventListener', 'console']
          .concat(['devicePixelRatio', 'document', 'fetch'])
          .map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/unified-signatures': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-unsafe-function-type': 'off',
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Only src/config reads the environment.' },
        { object: 'Date', property: 'now', message: 'Take the time from Clock, or from the database.' },
        { object: 'Math', property: 'random', message: 'Use node:crypto, or take randomness as an argument.' },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [SCOPELESS_DATA],
        },
      ],
    },
  },
  {
    // The database folder is where scope and pool meet; nobody else builds statements without them.
    files: ['src/**/*.ts'],
    ignores: ['src/**/*.repository.ts', 'src/**/*.query.ts', 'src/database/**', 'src/http/health/health.controller.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector:
            "TaggedTemplateExpression[tag.name='sql'] > TemplateLiteral > TemplateElement[value.raw=/^\\s*(with|select|insert|update|delete)\\s/i]",
          message: 'SQL lives in *.repository.ts and *.query.ts.',
        },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/infrastructure/egress/**'],
    rules: {
      'no-restricted-imports': ['error', { paths: [SCOPELESS_DATA, ...CONNECTING] }],
      'no-restricted-globals': [
        'error',
        ...['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'].map((name) => ({ name, message: ONE_WAY_OUT })),
      ],
    },
  },
  {
    files: ['src/config/**/*.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    files: ['src/kernel/clock.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    // Entity fields are filled by TypeORM, not by a constructor.
    files: ['src/**/*.entity.ts', 'src/**/*.entities.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/consistent-type-assertions': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      'no-restricted-properties': 'off',
    },
  },
  {
    // TypeORM's interface: a migration's way back is asynchronous, and ours refuses.
    files: ['migrations/**/*.ts'],
    rules: { '@typescript-eslint/require-await': 'off' },
  },
  {
    // Where the brand is given; nowhere else can one be made.
    files: ['src/infrastructure/blob-store/blob-key.ts'],
    rules: { '@typescript-eslint/consistent-type-assertions': 'off' },
  },
  {
    // What a fault rig sees changes under its feet: other processes and signals, which the types do not know of.
    files: ['test/faults/rig/**/*.ts'],
    rules: { '@typescript-eslint/no-unnecessary-condition': 'off', 'no-useless-assignment': 'off' },
  },
  prettier,
);
