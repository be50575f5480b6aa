import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { rowLimitVariables } from './row-limits.environment.js';

const port = z.coerce.number().int().min(0).max(65_535);
const wholeBytes = z.coerce
  .number()
  .int()
  .min(0)
  .max(5 * 1024 ** 4);
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);

const cidrs = list
  .refine(
    (blocks) => blocks.every((block) => ipaddr.isValidCIDR(block)),
    'must be CIDRs like 10.0.0.0/8 or fd00::/8, comma-separated',
  )
  .default([]);

/**
 * Every variable the product reads, with its meaning. `.env.example` says the same to people; a test holds the two together.
 * An empty variable counts as unset.
 */
export const environmentSchema = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 inside a container.'),
  PORT: port.default(3000).describe('Port to listen on; 0 takes any free one.'),
  DATA_DIR: z.string().default('./data').describe('Folder of the embedded database, stored files and made keys.'),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .describe('PostgreSQL 15 to 18 to use; unset: an embedded PostgreSQL 18 in DATA_DIR.'),
  DATABASE_POOL_SIZE: z.coerce
    .number()
    .int()
    .min(1)
    .max(500)
    .default(16)
    .describe(
      'Most database connections of a process for requests and work; four more serve callers without a credential.',
    ),
  MAX_CONNECTIONS: z.coerce
    .number()
    .int()
    .min(10)
    .max(1_000_000)
    .default(10_000)
    .describe('Most open connections of clients to this process; more are closed at once.'),
  MAX_CONNECTIONS_PER_ADDRESS: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(2_000)
    .describe('The same for one address; proxies that TRUST_PROXY names are exempt.'),
  MAX_WAITING_CLAIMS_PER_KEY: z.coerce
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(100)
    .describe('Most claims of one key or user that wait for work at once in this process; more are told to come back.'),
  MAX_WAITING_CLAIMS_PER_ORGANIZATION: z.coerce
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(1_000)
    .describe('The same for all keys and users of an organization.'),
  ...rowLimitVariables,
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
    .optional()
    .describe(
      'Redis 7 or Valkey to wake replicas by; unset: PostgreSQL does it. Holds nothing, may be lost at any time.',
    ),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where clients reach this server; links are built from it. Unset: http://localhost:<port>.'),
  TRUST_PROXY: z
    .string()
    .default('false')
    .describe('false, or the addresses and CIDRs (comma-separated) of proxies whose X-Forwarded-For is believed.'),
  CORS_ORIGINS: list.default([]).describe('Origins (comma-separated) whose pages may call this server; empty: none.'),
  ROOT_KEY: z
    .string()
    .optional()
    .describe(
      '32 bytes, base64 or hex; wraps every other key. More of them, comma-separated: the first seals, the others open. Required with DATABASE_URL.',
    ),
  ROOT_KEY_FILE: z.string().optional().describe('A file that holds ROOT_KEY, one key a line.'),
  AGENTS_FILE: z
    .string()
    .optional()
    .describe('A JSON file that lists the programs that agents of kind command may be; unset: none.'),
  EGRESS_ALLOW_CIDRS: cidrs.describe(
    'Networks (CIDRs, comma-separated) of your own that agents of kind http and webhooks, which admins set up, may call, by plain http and any port too.',
  ),
  EGRESS_MEMBER_ALLOW_CIDRS: cidrs.describe(
    'The same for URLs that any member may give: external_url of assets and callback of tasks. Unset: public addresses only.',
  ),
  BLOB_STORE: z
    .enum(['disk', 's3'])
    .default('disk')
    .describe('Where stored files lie: in DATA_DIR (disk), or in a bucket of an S3-compatible server (s3).'),
  S3_BUCKET: z.string().optional().describe('The bucket; required with BLOB_STORE=s3.'),
  S3_REGION: z.string().default('us-east-1').describe('Its region.'),
  S3_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('The server, where it is not Amazon’s; unset: that of the region.'),
  S3_PATH_STYLE: z
    .enum(['true', 'false'])
    .default('false')
    .describe('true: the bucket is named in the path, as most servers but Amazon’s want it; false: in the host.'),
  S3_PREFIX: z
    .string()
    .regex(/^(?:[A-Za-z0-9_-]{1,64}\/){0,8}$/, 'must be names of letters, digits, _ and -, each followed by a slash')
    .default('')
    .describe('What every key begins with, such as taskyard/; for a bucket that holds other things too.'),
  S3_ACCESS_KEY_ID: z
    .string()
    .optional()
    .describe('Both or neither; unset: what the environment gives (role, profile).'),
  S3_SECRET_ACCESS_KEY: z.string().optional().describe('Both or neither.'),
  ASSET_MAX_BYTES: wholeBytes.default(5 * 1024 ** 3).describe('Largest file, in bytes.'),
  ASSET_QUOTA_BYTES: wholeBytes
    .default(0)
    .describe('Most bytes of files that an organisation keeps; 0: as many as it likes.'),
  FFMPEG_PATH: z
    .string()
    .optional()
    .describe('The ffmpeg that takes pictures from videos; unset: the one on the PATH, where there is one.'),
  ROLE: z
    .enum(['all', 'api', 'worker'])
    .default('all')
    .describe(
      'What this process does: serve (api), run builtin, http and command agents and send webhooks (worker), or both (all).',
    ),
  BUILTIN_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(2)
    .describe('Builtin runs at once in this process.'),
  HTTP_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(1000)
    .default(32)
    .describe('Runs of http agents at once in this process.'),
  COMMAND_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .default(4)
    .describe('Runs of command agents at once in this process.'),
  AUDIT_RETENTION_DAYS: z.coerce
    .number()
    .int()
    .min(30)
    .max(36_500)
    .optional()
    .describe('Audit events older than this are deleted, the chain kept verifiable; unset: kept for good.'),
  WRONG_KEYS_PER_ADDRESS: z.coerce
    .number()
    .int()
    .min(10)
    .max(1_000_000)
    .default(500)
    .describe('Wrong keys and tokens that one address may send in ten minutes before it is told to wait.'),
  PASSWORD_HASH_COST: z.coerce
    .number()
    .int()
    .min(10)
    .max(17)
    .default(15)
    .describe(
      'Cost of password hashes: log2 of N of scrypt. One more doubles time and memory. Under 15 is for tests only.',
    ),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least level logged.'),
  BOOTSTRAP_API_KEY: z
    .string()
    .regex(/^[A-Za-z0-9_-]{32,255}$/, 'must be 32 to 255 letters, digits, _ or -')
    .optional()
    .describe(
      'An admin key of the first organisation; unset: the first start makes one and writes it to DATA_DIR/first-api-key.',
    ),
  BOOTSTRAP_ADMIN_EMAIL: z.email().optional().describe('First person of the first organisation.'),
  BOOTSTRAP_ADMIN_PASSWORD: z
    .string()
    .min(12)
    .max(256)
    .optional()
    .describe('Password of that person, 12 characters or more; common passwords are refused.'),
  SHUTDOWN_SECONDS: z.coerce
    .number()
    .int()
    .min(1)
    .max(300)
    .default(10)
    .describe('Most seconds a stop waits for work under way.'),
});

export type Environment = z.output<typeof environmentSchema>;
