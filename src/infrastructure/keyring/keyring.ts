/**
 * The keys of this instance, opened once at start. Each is a row sealed by a root key; the first start makes one of every
 * purpose. All of them, a canary among them, are opened before anything else is: a wrong ROOT_KEY stops the process with a sentence
 * and harms no data. What an older root key sealed is brought under the present one right then, in the same transaction.
 */
import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { ConfigError } from '../../config/app-config.js';
import type { Tx } from '../../database/database.js';
import { type KeyPurpose, type KeyringRepository, type SealedKeyRow } from './keyring.repository.js';
import { type RootKey, type RootKeys } from './root-keys.js';
import { open, seal } from './sealed-box.js';

export interface SecretKey {
  id: string;
  secret: Buffer;
}

/** An ES256 pair that signs access tokens; `kid` names it in the JWKS. */
export interface TokenKey {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

/** An Ed25519 pair that signs the heads of audit chains. */
export type HeadKey = TokenKey;

const SYMMETRIC: readonly KeyPurpose[] = ['canary', 'pepper', 'presign', 'cursor', 'audit'];

export class KeyRing {
  private constructor(
    /** Newest first, of each purpose: the first signs, all verify. */
    readonly peppers: readonly SecretKey[],
    readonly presign: readonly SecretKey[],
    readonly cursor: readonly SecretKey[],
    readonly tokens: readonly TokenKey[],
    /** What the links of audit chains are keyed with. */
    readonly audit: readonly SecretKey[],
    readonly auditHeads: readonly HeadKey[],
  ) {}

  /** Opens every key, making what is missing. @throws ConfigError where no root key is this database's. */
  static async load(repository: KeyringRepository, roots: RootKeys): Promise<KeyRing> {
    return repository.exclusively(async (tx) => {
      const rows = await repository.list(tx);
      const missing = SYMMETRIC.filter((purpose) => !rows.some((row) => row.purpose === purpose));
      for (const purpose of missing) {
        rows.push(await make(repository, tx, roots.primary, `${purpose}:1`, purpose, randomBytes(32), null));
      }
      if (!rows.some((row) => row.purpose === 'token')) {
        rows.push(await makePair(repository, tx, roots.primary, 'token'));
      }
      if (!rows.some((row) => row.purpose === 'audit_head')) {
        rows.push(await makePair(repository, tx, roots.primary, 'audit_head'));
      }
      const opened = rows.map((row) => ({ row, plain: openRow(roots, row) })).reverse();
      for (const { row, plain } of opened.filter(({ row }) => row.root_key_id !== roots.primary.id)) {
        await repository.reseal(tx, { name: row.name, ...sealed(roots.primary, row, plain) });
      }
      const secrets = (purpose: KeyPurpose): SecretKey[] =>
        opened
          .filter(({ row }) => row.purpose === purpose)
          .map(({ row, plain }) => ({ id: row.name.split(':')[1] ?? row.name, secret: plain }));
      const pairs = (purpose: KeyPurpose): TokenKey[] =>
        opened
          .filter(({ row }) => row.purpose === purpose)
          .map(({ row, plain }) => {
            const privateKey = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
            return { kid: row.name.split(':')[1] ?? row.name, privateKey, publicKey: createPublicKey(privateKey) };
          });
      return new KeyRing(
        secrets('pepper'),
        secrets('presign'),
        secrets('cursor'),
        pairs('token'),
        secrets('audit'),
        pairs('audit_head'),
      );
    });
  }
}

async function makePair(
  repository: KeyringRepository,
  tx: Tx,
  root: RootKey,
  purpose: 'token' | 'audit_head',
): Promise<SealedKeyRow> {
  const { privateKey, publicKey } =
    purpose === 'token' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  const name = `${purpose}:${randomBytes(9).toString('hex')}`;
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  return make(repository, tx, root, name, purpose, der, publicKey.export({ format: 'jwk' }));
}

async function make(
  repository: KeyringRepository,
  tx: Tx,
  root: RootKey,
  name: string,
  purpose: KeyPurpose,
  plain: Buffer,
  publicJwk: unknown,
): Promise<SealedKeyRow> {
  const row = { name, purpose, public_jwk: publicJwk, ...sealed(root, { name, purpose }, plain) };
  await repository.insert(tx, row);
  return { ...row, created_at: new Date() };
}

function sealed(root: RootKey, { name, purpose }: Pick<SealedKeyRow, 'name' | 'purpose'>, plain: Buffer) {
  return { root_key_id: root.id, sealed: seal(root.secret, `${purpose}/${name}`, plain) };
}

function openRow(roots: RootKeys, row: SealedKeyRow): Buffer {
  const root = roots.find(row.root_key_id);
  const plain = root === null ? null : open(root.secret, `${row.purpose}/${row.name}`, row.sealed);
  if (plain === null) {
    throw new ConfigError('ROOT_KEY is not the key this database was set up with; set the old one again.');
  }
  return plain;
}
