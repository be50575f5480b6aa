/**
 * The keys of this instance, opened once at start. Each is a row sealed by the root key; the first start makes one of every
 * purpose. A canary is opened first, so that a wrong ROOT_KEY stops the process with a sentence and harms no data.
 */
import { type KeyObject, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { ConfigError } from '../../config/app-config.js';
import type { Tx } from '../../database/database.js';
import { type KeyPurpose, type KeyringRepository, type SealedKeyRow } from './keyring.repository.js';
import { open, rootKeyId, seal } from './sealed-box.js';

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

const SYMMETRIC: readonly KeyPurpose[] = ['canary', 'pepper', 'presign', 'cursor'];

export class KeyRing {
  private constructor(
    /** Newest first, of each purpose: the first signs, all verify. */
    readonly peppers: readonly SecretKey[],
    readonly presign: readonly SecretKey[],
    readonly cursor: readonly SecretKey[],
    readonly tokens: readonly TokenKey[],
  ) {}

  /** Opens every key, making what is missing. @throws ConfigError where the root key is not this database's. */
  static async load(repository: KeyringRepository, rootKey: Buffer): Promise<KeyRing> {
    return repository.exclusively(async (tx) => {
      const rows = await repository.list(tx);
      const missing = SYMMETRIC.filter((purpose) => !rows.some((row) => row.purpose === purpose));
      for (const purpose of missing) {
        rows.push(await make(repository, tx, rootKey, `${purpose}:1`, purpose, randomBytes(32), null));
      }
      if (!rows.some((row) => row.purpose === 'token')) {
        rows.push(await makeTokenKey(repository, tx, rootKey));
      }
      const opened = rows.map((row) => ({ row, plain: openRow(rootKey, row) })).reverse();
      const secrets = (purpose: KeyPurpose): SecretKey[] =>
        opened
          .filter(({ row }) => row.purpose === purpose)
          .map(({ row, plain }) => ({ id: row.name.split(':')[1] ?? row.name, secret: plain }));
      const tokens = opened
        .filter(({ row }) => row.purpose === 'token')
        .map(({ row, plain }) => {
          const privateKey = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
          return { kid: row.name.split(':')[1] ?? row.name, privateKey, publicKey: createPublicKey(privateKey) };
        });
      return new KeyRing(secrets('pepper'), secrets('presign'), secrets('cursor'), tokens);
    });
  }
}

async function makeTokenKey(repository: KeyringRepository, tx: Tx, rootKey: Buffer): Promise<SealedKeyRow> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = `token:${randomBytes(9).toString('hex')}`;
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  return make(repository, tx, rootKey, name, 'token', der, publicKey.export({ format: 'jwk' }));
}

async function make(
  repository: KeyringRepository,
  tx: Tx,
  rootKey: Buffer,
  name: string,
  purpose: KeyPurpose,
  plain: Buffer,
  publicJwk: unknown,
): Promise<SealedKeyRow> {
  const row = {
    name,
    purpose,
    public_jwk: publicJwk,
    root_key_id: rootKeyId(rootKey),
    sealed: seal(rootKey, `${purpose}/${name}`, plain),
  };
  await repository.insert(tx, row);
  return { ...row, created_at: new Date() };
}

function openRow(rootKey: Buffer, row: SealedKeyRow): Buffer {
  const plain = row.root_key_id === rootKeyId(rootKey) ? open(rootKey, `${row.purpose}/${row.name}`, row.sealed) : null;
  if (plain === null) {
    throw new ConfigError('ROOT_KEY is not the key this database was set up with; set the old one again.');
  }
  return plain;
}
