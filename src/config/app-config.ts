import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { type z } from 'zod';
import { type Command, loadAgentsFile } from './agents-file.js';
import { ConfigError } from './config-error.js';
import { environmentSchema, type Environment } from './environment.schema.js';
import type { RowLimitVariable } from './row-limits.environment.js';

export { ConfigError };

/**
 * What this process was told, validated once and frozen. The only reader of the environment; everything else is handed
 * this object.
 */
export class AppConfig {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly databaseUrl: string | null;
  readonly databasePoolSize: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxWaitingClaims: { readonly perKey: number; readonly perOrganization: number };
  /** Of each organization, by the variable that sets it; 0: no limit. */
  readonly rowLimits: Readonly<Record<RowLimitVariable, number>>;
  readonly redisUrl: string | null;
  readonly trustProxy: false | string[];
  readonly corsOrigins: readonly string[];
  readonly role: Environment['ROLE'];
  readonly builtinConcurrency: number;
  readonly httpConcurrency: number;
  readonly commandConcurrency: number;
  readonly egressAllowCidrs: readonly string[];
  readonly egressMemberAllowCidrs: readonly string[];
  /** Null: files lie in `dataDir`. */
  readonly s3: S3Settings | null;
  readonly assetMaxBytes: number;
  /** Of each organisation; null: no limit. */
  readonly assetQuotaBytes: number | null;
  readonly ffmpegPath: string | null;
  /** Null: for good. */
  readonly auditRetentionDays: number | null;
  readonly wrongKeysPerAddress: number;
  readonly passwordHashCost: number;
  readonly logLevel: Environment['LOG_LEVEL'];
  readonly bootstrapApiKey: string | null;
  readonly bootstrapAdmin: { readonly email: string; readonly password: string } | null;
  readonly shutdownMs: number;
  readonly #environment: Environment;
  readonly #publicUrl: string | null;
  readonly #rootKey: { value: string | undefined; file: string | undefined };

  constructor(
    environment: Environment,
    /** Programs that agents of kind `command` may be, by the name that `config.command` gives. */
    readonly commands: ReadonlyMap<string, Command> = new Map(),
  ) {
    this.#environment = environment;
    this.host = environment.HOST;
    this.port = environment.PORT;
    this.dataDir = resolve(environment.DATA_DIR);
    this.databaseUrl = environment.DATABASE_URL ?? null;
    this.databasePoolSize = environment.DATABASE_POOL_SIZE;
    this.maxConnections = environment.MAX_CONNECTIONS;
    this.maxConnectionsPerAddress = environment.MAX_CONNECTIONS_PER_ADDRESS;
    this.maxWaitingClaims = Object.freeze({
      perKey: environment.MAX_WAITING_CLAIMS_PER_KEY,
      perOrganization: environment.MAX_WAITING_CLAIMS_PER_ORGANIZATION,
    });
    this.rowLimits = environment;
    this.redisUrl = environment.REDIS_URL ?? null;
    this.trustProxy =
      environment.TRUST_PROXY === 'false' ? false : environment.TRUST_PROXY.split(',').map((item) => item.trim());
    this.corsOrigins = environment.CORS_ORIGINS;
    this.role = environment.ROLE;
    this.builtinConcurrency = environment.BUILTIN_CONCURRENCY;
    this.httpConcurrency = environment.HTTP_CONCURRENCY;
    this.commandConcurrency = environment.COMMAND_CONCURRENCY;
    this.egressAllowCidrs = environment.EGRESS_ALLOW_CIDRS;
    this.egressMemberAllowCidrs = environment.EGRESS_MEMBER_ALLOW_CIDRS;
    this.s3 = s3Settings(environment);
    this.assetMaxBytes = environment.ASSET_MAX_BYTES;
    this.assetQuotaBytes = environment.ASSET_QUOTA_BYTES === 0 ? null : environment.ASSET_QUOTA_BYTES;
    this.ffmpegPath = environment.FFMPEG_PATH ?? findFfmpeg();
    this.auditRetentionDays = environment.AUDIT_RETENTION_DAYS ?? null;
    this.wrongKeysPerAddress = environment.WRONG_KEYS_PER_ADDRESS;
    this.passwordHashCost = environment.PASSWORD_HASH_COST;
    this.logLevel = environment.LOG_LEVEL;
    this.bootstrapApiKey = environment.BOOTSTRAP_API_KEY ?? null;
    this.bootstrapAdmin =
      environment.BOOTSTRAP_ADMIN_EMAIL !== undefined && environment.BOOTSTRAP_ADMIN_PASSWORD !== undefined
        ? { email: environment.BOOTSTRAP_ADMIN_EMAIL, password: environment.BOOTSTRAP_ADMIN_PASSWORD }
        : null;
    this.shutdownMs = environment.SHUTDOWN_SECONDS * 1000;
    this.#publicUrl = environment.PUBLIC_URL?.replace(/\/+$/, '') ?? null;
    this.#rootKey = { value: environment.ROOT_KEY, file: environment.ROOT_KEY_FILE };
    Object.freeze(this);
  }

  /** The same, with the embedded database reached through another process that owns it; keys made in DATA_DIR stay where they are. */
  connectingTo(databaseUrl: string): AppConfig {
    const keyFile =
      this.#rootKey.value === undefined ? (this.#rootKey.file ?? join(this.dataDir, 'root.key')) : undefined;
    return new AppConfig({ ...this.#environment, DATABASE_URL: databaseUrl, ROOT_KEY_FILE: keyFile }, this.commands);
  }

  /** Where a first start leaves the API key that it makes. */
  get firstKeyFile(): string {
    return join(this.dataDir, 'first-api-key');
  }

  /** Base of every link, without a trailing slash. `listeningPort` matters when PORT is 0. Never built from a Host header. */
  publicUrl(listeningPort: number): string {
    return this.#publicUrl ?? `http://localhost:${listeningPort}`;
  }

  /**
   * The keys, 32 bytes each, that wrap every other: the first seals, all of them open. One is made on first use when the database is
   * embedded.
   */
  rootKeys(): Buffer[] {
    const text = this.#rootKey.value ?? this.#readRootKeyFile();
    return text
      .trim()
      .split(/[\s,]+/)
      .map(rootKey);
  }

  #readRootKeyFile(): string {
    if (this.#rootKey.file !== undefined) {
      return readRequired(this.#rootKey.file, 'ROOT_KEY_FILE');
    }
    if (this.databaseUrl !== null) {
      throw new ConfigError(
        'ROOT_KEY (or ROOT_KEY_FILE) must be set with DATABASE_URL; make one with: openssl rand -base64 32',
      );
    }
    const path = join(this.dataDir, 'root.key');
    try {
      // 'wx' so that two first starts cannot both believe in a key of their own.
      mkdirSync(this.dataDir, { recursive: true });
      writeFileSync(path, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
        throw new ConfigError(
          `DATA_DIR (${this.dataDir}) cannot be written: make it writable or set another DATA_DIR.`,
          {
            cause: error,
          },
        );
      }
    }
    return readRequired(path, 'the root key');
  }
}

function rootKey(text: string): Buffer {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
  if (bytes.length !== 32) {
    throw new ConfigError('ROOT_KEY must be 32 bytes as hex or base64; make one with: openssl rand -base64 32');
  }
  return bytes;
}

/** Where a bucket is, and how it is talked to. */
export interface S3Settings {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: string | null;
  readonly pathStyle: boolean;
  readonly prefix: string;
  /** Null: what the environment of the process gives. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | null;
}

function s3Settings(environment: Environment): S3Settings | null {
  if (environment.BLOB_STORE !== 's3') {
    return null;
  }
  const { S3_BUCKET: bucket, S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  if (bucket === undefined) {
    throw new ConfigError('S3_BUCKET must be set with BLOB_STORE=s3.');
  }
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw new ConfigError('S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY must be set together.');
  }
  return Object.freeze({
    bucket,
    region: environment.S3_REGION,
    endpoint: environment.S3_ENDPOINT ?? null,
    pathStyle: environment.S3_PATH_STYLE === 'true',
    prefix: environment.S3_PREFIX,
    credentials:
      accessKeyId === undefined || secretAccessKey === undefined
        ? null
        : Object.freeze({ accessKeyId, secretAccessKey }),
  });
}

/** The ffmpeg on the PATH, where there is one. */
function findFfmpeg(): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.map((folder) => join(folder, 'ffmpeg')).find((path) => existsSync(path)) ?? null;
}

function readRequired(path: string, name: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new ConfigError(`${name} (${path}) cannot be read.`, { cause: error });
  }
}

/** Parses an environment; throws {@link ConfigError} naming each variable that is wrong. */
export function loadConfig(variables: Readonly<Record<string, string | undefined>> = process.env): AppConfig {
  const given = Object.fromEntries(
    Object.entries(variables).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) {
    throw new ConfigError(explain(parsed.error));
  }
  const environment = parsed.data;
  if ((environment.BOOTSTRAP_ADMIN_EMAIL === undefined) !== (environment.BOOTSTRAP_ADMIN_PASSWORD === undefined)) {
    throw new ConfigError('BOOTSTRAP_ADMIN_EMAIL and BOOTSTRAP_ADMIN_PASSWORD must be set together.');
  }
  const commands =
    environment.AGENTS_FILE === undefined
      ? new Map<string, Command>()
      : loadAgentsFile(environment.AGENTS_FILE, variables, environment.ROLE !== 'api');
  return new AppConfig(environment, commands);
}

function explain(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
}
