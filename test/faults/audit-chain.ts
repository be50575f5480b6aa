/**
 * Somebody has the database, all of it, as its superuser: they change the audit trail in every way there is, one at a time, and each
 * must be found out, with its place. Half of the ways know the rule of the chain and lack only its key.
 *
 * The short form has 1,000 events; `npm run soak -- audit` has 100,000.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { NO_LINK, entryDigest, linkOf } from '../../src/infrastructure/audit-trail/audit-entry.js';
import type { ChainBreak, ChainReport } from '../../src/modules/audit/index.js';
import { seededRandom } from './rig/random.js';

export interface ChainUnderAttack {
  attacker: Client;
  organizationId: string;
  seed: number;
  mutations: number;
  verify: () => Promise<ChainReport>;
}

interface Attack {
  name: string;
  statements: (at: number, last: number) => string[];
  /** What must be said, and where: the first place that the attack touches. */
  finds: (at: number, last: number) => Pick<ChainBreak, 'kind' | 'seq'>;
}

const TABLES = ['audit_checkpoints', 'audit_events', 'audit_heads', 'audit_seals', 'audit_unsealed'];
const event = (at: number): string => `(select event_id from audit_seals where organization_id = $org and seq = ${at})`;
const FLIPS: Readonly<Record<string, string>> = {
  actor_kind: `case actor_kind when 'system' then 'user' else 'system' end`,
  actor_id: `gen_random_uuid()`,
  user_id: `gen_random_uuid()`,
  role: `coalesce(role, '') || 'x'`,
  action: `action || 'x'`,
  object_kind: `object_kind || 'x'`,
  object_id: `coalesce(object_id, '') || 'x'`,
  outcome: `case outcome when 'done' then 'refused' else 'done' end`,
  reason: `coalesce(reason, '') || 'x'`,
  request_id: `coalesce(request_id, '') || 'x'`,
  address: `coalesce(address, '') || 'x'`,
  route: `coalesce(route, '') || 'x'`,
  detail: `detail || '{"more": 1}'`,
  created_at: `created_at + interval '1 microsecond'`,
  transaction_id: `(transaction_id::text::bigint + 1)::text::xid8`,
  key_id: `key_id || 'x'`,
};

const ATTACKS: readonly Attack[] = [
  ...Object.entries(FLIPS).map(([column, value]) => ({
    name: `changes ${column}`,
    statements: (at: number) => [
      `update audit_events set ${column} = ${value} where organization_id = $org and id = ${event(at)}`,
    ],
    finds: (at: number) => ({ kind: 'altered' as const, seq: String(at) }),
  })),
  {
    name: 'changes the digest of an event',
    statements: (at) => [
      `update audit_events set digest = sha256(digest) where organization_id = $org and id = ${event(at)}`,
    ],
    finds: (at) => ({ kind: 'forged', seq: String(at) }),
  },
  {
    name: 'changes a link',
    statements: (at) => [`update audit_seals set link = sha256(link) where organization_id = $org and seq = ${at}`],
    finds: (at) => ({ kind: 'altered', seq: String(at) }),
  },
  {
    name: 'drops an event',
    statements: (at) => [`delete from audit_events where organization_id = $org and id = ${event(at)}`],
    finds: (at) => ({ kind: 'missing', seq: String(at) }),
  },
  {
    name: 'drops an event with its seal',
    statements: (at) => [
      `delete from audit_events where organization_id = $org and id = ${event(at)}`,
      `delete from audit_seals where organization_id = $org and seq = ${at}`,
    ],
    finds: (at, last) => ({ kind: at === last ? 'cut-short' : 'missing', seq: String(at) }),
  },
  {
    name: 'drops an event with its seal, and closes the gap',
    statements: (at) => [
      `delete from audit_events where organization_id = $org and id = ${event(at)}`,
      `delete from audit_seals where organization_id = $org and seq = ${at}`,
      `update audit_seals set seq = seq + 1000000000 where organization_id = $org and seq > ${at}`,
      `update audit_seals set seq = seq - 1000000001 where organization_id = $org and seq > 1000000000`,
    ],
    finds: (at, last) => ({ kind: at === last ? 'cut-short' : 'altered', seq: String(at) }),
  },
  {
    name: 'swaps two events',
    statements: (at, last) => {
      const other = at === last ? at - 1 : at + 1;
      return [
        `create temp table swapped as select seq, event_id from audit_seals where organization_id = $org and seq in (${at}, ${other})`,
        `update audit_seals set event_id = gen_random_uuid() where organization_id = $org and seq in (${at}, ${other})`,
        `update audit_seals s set event_id = w.event_id from swapped w where s.organization_id = $org and s.seq = ${at} and w.seq = ${other}`,
        `update audit_seals s set event_id = w.event_id from swapped w where s.organization_id = $org and s.seq = ${other} and w.seq = ${at}`,
        `drop table swapped`,
      ];
    },
    finds: (at, last) => ({ kind: 'altered', seq: String(at === last ? at - 1 : at) }),
  },
  {
    name: 'inserts an event of its own at the end',
    statements: (_, last) => [
      `insert into audit_events select (e).* from (select jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'action', 'made.up')) as e
         from audit_events e where e.organization_id = $org and e.id = ${event(last)}) copied`,
    ],
    finds: () => ({ kind: 'forged', seq: null }),
  },
  {
    name: 'drops the last seal',
    statements: (_, last) => [`delete from audit_seals where organization_id = $org and seq = ${last}`],
    finds: (_, last) => ({ kind: 'cut-short', seq: String(last) }),
  },
  {
    name: 'cuts the end off',
    statements: (at) => [
      `delete from audit_events where organization_id = $org and id in (select event_id from audit_seals where organization_id = $org and seq >= ${at})`,
      `delete from audit_seals where organization_id = $org and seq >= ${at}`,
    ],
    finds: (at) => ({ kind: 'cut-short', seq: String(at) }),
  },
  {
    name: 'cuts the end off, and puts the head where it cut',
    statements: (at) => [
      `delete from audit_events where organization_id = $org and id in (select event_id from audit_seals where organization_id = $org and seq >= ${at})`,
      `delete from audit_seals where organization_id = $org and seq >= ${at}`,
      `update audit_heads h set seq = s.seq, link = s.link from audit_seals s where h.organization_id = $org and s.organization_id = $org and s.seq = ${at} - 1`,
    ],
    finds: (at) => ({ kind: 'head-mismatch', seq: String(at - 1) }),
  },
  {
    name: 'cuts the end off, and takes the head away',
    statements: (at) => [
      `delete from audit_events where organization_id = $org and id in (select event_id from audit_seals where organization_id = $org and seq >= ${at})`,
      `delete from audit_seals where organization_id = $org and seq >= ${at}`,
      `delete from audit_heads where organization_id = $org`,
    ],
    finds: (at) => ({ kind: 'head-mismatch', seq: String(at) }),
  },
  {
    name: 'cuts the beginning off',
    statements: (at) => [
      `delete from audit_events where organization_id = $org and id in (select event_id from audit_seals where organization_id = $org and seq < ${at})`,
      `delete from audit_seals where organization_id = $org and seq < ${at}`,
    ],
    finds: () => ({ kind: 'missing', seq: '1' }),
  },
  {
    name: 'cuts the beginning off behind a checkpoint of its own',
    statements: (at) => [
      `insert into audit_checkpoints select organization_id, seq, link, now(), (select key_id from audit_heads limit 1), decode(repeat('00', 64), 'hex')
         from audit_seals where organization_id = $org and seq = ${at} - 1`,
      `delete from audit_events where organization_id = $org and id in (select event_id from audit_seals where organization_id = $org and seq < ${at})`,
      `delete from audit_seals where organization_id = $org and seq < ${at}`,
    ],
    finds: (at) => ({ kind: 'checkpoint-forged', seq: String(at - 1) }),
  },
];

/** Every attack at places that the seed chooses; what was not found as it must be. */
export async function attackChain(chain: ChainUnderAttack): Promise<{ tried: number; missed: string[] }> {
  const { attacker, organizationId, seed, mutations, verify } = chain;
  const random = seededRandom(seed);
  await attacker.query(`set session_replication_role = replica`);
  for (const table of TABLES) {
    await attacker.query(`create table kept_${table} as table ${table}`);
  }
  const before = await verify();
  const last = Number(before.last);
  const missed = before.problem === null ? [] : [`before anything was changed: ${JSON.stringify(before.problem)}`];
  const check = async (name: string, expected: Pick<ChainBreak, 'kind' | 'seq'>): Promise<void> => {
    const { problem } = await verify();
    if (problem?.kind !== expected.kind || problem.seq !== expected.seq) {
      missed.push(`${name}: ${JSON.stringify(problem)} instead of ${JSON.stringify(expected)}`);
    }
    await restore(attacker);
  };
  for (let count = 0; count < mutations; count += 1) {
    const attack = ATTACKS[count % ATTACKS.length];
    if (attack === undefined) break;
    // Where something is cut off, something has to be left on either side.
    const at = 2 + Math.floor(random() * (last - 2));
    for (const statement of attack.statements(at, last)) {
      await attacker.query(statement.replaceAll('$org', `'${organizationId}'`));
    }
    await check(`${attack.name} (at ${at} of ${last})`, attack.finds(at, last));
  }
  await rewrite(attacker, organizationId);
  await check('writes the whole chain anew, by its rule and with a key of its own', { kind: 'altered', seq: '1' });
  await rewriteLinks(attacker, organizationId);
  await check('leaves out the key', { kind: 'altered', seq: '1' });
  const after = await verify();
  if (after.problem !== null || after.last !== before.last) {
    missed.push(`after all was put back: ${JSON.stringify(after.problem)}`);
  }
  return { tried: mutations + 2, missed };
}

async function restore(attacker: Client): Promise<void> {
  await attacker.query(`truncate ${TABLES.join(', ')}`);
  for (const table of TABLES) {
    await attacker.query(`insert into ${table} select * from kept_${table}`);
  }
}

/** Knows all of the rule: digests, links, order. Has no key but one of its own. */
async function rewrite(attacker: Client, organizationId: string): Promise<void> {
  const key = randomBytes(32);
  const { rows } = await attacker.query(
    `select s.seq::text as seq, e.id, e.actor_kind, e.actor_id, e.user_id, e.role, e.action, e.object_kind, e.object_id, e.outcome, e.reason,
       e.request_id, e.address, e.route, e.detail, e.transaction_id::text as transaction_id,
       to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at
     from audit_seals s join audit_events e on e.organization_id = s.organization_id and e.id = s.event_id where s.organization_id = $1 order by s.seq`,
    [organizationId],
  );
  let previous: Buffer = NO_LINK;
  const made = rows.map((row) => {
    const digest = entryDigest(key, {
      organizationId,
      id: row.id,
      actorKind: row.actor_kind,
      actorId: row.actor_id,
      userId: row.user_id,
      role: row.role,
      action: 'nothing.happened',
      objectKind: row.object_kind,
      objectId: row.object_id,
      outcome: row.outcome,
      reason: row.reason,
      requestId: row.request_id,
      address: row.address,
      route: row.route,
      detail: row.detail,
    });
    const { seq, id: eventId, created_at: createdAt, transaction_id: transactionId } = row;
    previous = linkOf(key, { organizationId, seq, eventId, createdAt, transactionId, digest, previous });
    return { id: row.id, seq, digest: digest.toString('hex'), link: previous.toString('hex') };
  });
  await attacker.query(
    `update audit_events e set action = 'nothing.happened', digest = decode(g.digest, 'hex') from jsonb_to_recordset($2::jsonb) as g (id uuid, digest text)
     where e.organization_id = $1 and e.id = g.id`,
    [organizationId, JSON.stringify(made)],
  );
  await writeLinks(attacker, organizationId, made);
}

/** Chains plain digests, as a chain without a key would be. */
async function rewriteLinks(attacker: Client, organizationId: string): Promise<void> {
  const { rows } = await attacker.query<{ seq: string; digest: Buffer }>(
    `select s.seq::text as seq, e.digest from audit_seals s join audit_events e on e.organization_id = s.organization_id and e.id = s.event_id
     where s.organization_id = $1 order by s.seq`,
    [organizationId],
  );
  let previous: Buffer = NO_LINK;
  const made = rows.map(({ seq, digest }) => {
    previous = createHmac('sha256', '').update(previous).update(digest).digest();
    return { seq, link: previous.toString('hex') };
  });
  await writeLinks(attacker, organizationId, made);
}

async function writeLinks(
  attacker: Client,
  organizationId: string,
  made: readonly { seq: string; link: string }[],
): Promise<void> {
  await attacker.query(
    `update audit_seals s set link = decode(g.link, 'hex') from jsonb_to_recordset($2::jsonb) as g (seq bigint, link text)
     where s.organization_id = $1 and s.seq = g.seq`,
    [organizationId, JSON.stringify(made)],
  );
}
