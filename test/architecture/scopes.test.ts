import { expect, test } from '@jest/globals';
import ts from 'typescript';
import { sources } from './sources.js';

/**
 * Public methods of repositories and queries that take no scope, each for a reason. The list may only shrink.
 */
const WITHOUT_SCOPE: Readonly<Record<string, string>> = {
  'KeyringRepository.exclusively': 'keys belong to the instance',
  'KeyringRepository.list': 'keys belong to the instance',
  'KeyringRepository.insert': 'keys belong to the instance',
  'KeyringRepository.presentRootKeyId': 'keys belong to the instance',
  'KeyringRepository.reseal': 'keys belong to the instance',
  'SecretsRepository.sweep': 'a sweep over every organisation',
  'SecretRotationRepository.rewrap': 'the root key is the instance’s',
  'SecretRotationRepository.count': 'the root key is the instance’s',
  'ActorsQuery.findSecrets': 'a credential names its own principal; a scope is made from the answer',
  'ActorsQuery.operatorPublicIds': 'as above',
  'ActorsQuery.findPrincipal': 'as above',
  'ActorsQuery.findBySession': 'as above',
  'ActorsQuery.findBySecret': 'as above',
  'SignInQuery.findAccounts': 'an e-mail may be of users in several organizations, and nobody is signed in yet',
  'SignInQuery.operator': 'there is one in the instance',
  'ChainRepository.unsealedOrganizations': 'looks for work over every organisation',
  'ChainRepository.organizations': 'the command line and the sweep go over every organisation',
  'SignInQuery.findTokenOwner': 'a refresh token is its own proof',
  'LoginThrottleRepository.standings': 'attempts belong to the instance',
  'LoginThrottleRepository.count': 'attempts belong to the instance',
  'LoginThrottleRepository.forget': 'attempts belong to the instance',
  'LoginThrottleRepository.sweep': 'attempts belong to the instance',
  'SessionsRepository.sweep': 'a sweep over every organisation',
  'BootstrapRepository.lock': 'before there is any organisation',
  'BootstrapRepository.findOperator': 'before there is any organisation',
  'BootstrapRepository.findSecret': 'a public id is unique in the instance',
  'RecoveryQuery.findOrganization': 'the command line has no actor',
  'RecoveryQuery.findPeople': 'the command line has no actor',
  'TaskPurgeRepository.findDeleted': 'a sweep over every organisation',
  'ReaperRepository.reap': 'a sweep over every organisation',
  'FamilyRepository.unfinishedCascades': 'a sweep over every organisation',
  'WaitsRepository.overdue': 'a sweep over every organisation',
  'RunStopsRepository.stop': 'a sweep over every organisation',
  'SightingsRepository.sweep': 'a sweep over every organisation',
  'SweepsRepository.endDelays': 'a sweep over every organisation',
  'SweepsRepository.expire': 'a sweep over every organisation',
  'SweepsRepository.holdBack': 'a sweep over every organisation',
  'SweepsRepository.moveUp': 'a sweep over every organisation',
  'StreamCompactionRepository.dueOrganizations': 'finds whose finished logs are to be made small',
  'SweepsRepository.adoptRunning': 'a sweep over every organisation',
  'SweepsRepository.dropIdleKeys': 'a sweep over every organisation',
  'SweepsRepository.slotDrift': 'a sweep over every organisation',
  'BudgetsRepository.sweepCounters': 'a sweep over every organisation',
  'AssetJobsRepository.take': 'looks for work over every organisation',
  'AssetJobsRepository.overdue': 'a sweep over every organisation',
  'AssetJobsRepository.ready': 'a sweep over every organisation',
  'RetentionDueQuery.classes': 'looks for work over every organisation',
  'FiringRepository.claimDue': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.claimUnarmed': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.claimOutdated': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.claimWaiting': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.lock': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.circumstances': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.insertSlots': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.backfill': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.advance': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.nameCoalesced': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.settleWaiting': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.disarm': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.postpone': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.tellMissed': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.untilDueMs': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.overdue': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.takeUntold': 'slots come due over every organisation; rows carry theirs',
  'FiringRepository.sweepLedger': 'slots come due over every organisation; rows carry theirs',
  'ScheduledRunsRepository.create': 'runs of schedules over every organisation; rows carry theirs',
  'BulkOperationsRepository.claim': 'looks for work over every organisation',
  'HookSecretStore.rewrap': 'brings records of every organisation under the present root key',
  'HookSecretStore.count': 'as above',
  'DispatchRepository.dueLanes': 'looks for work over every organisation',
  'DispatchRepository.lease': 'takes lanes of several organisations at once',
  'DispatchRepository.sweep': 'a sweep over every organisation',
  'ExecutorsRepository.dueOrganizations': 'looks for work over every organisation',
  'ExecutorsRepository.livingTasks': 'folders on this machine are of every organisation',
};

const SCOPES = /\b(ReadScope|WriteScope)\b/;

function* methodsWithoutScope(): Generator<string> {
  for (const file of sources('src').filter(({ path }) => /\.(repository|query)\.ts$/.test(path))) {
    const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
    for (const node of tree.statements.filter(ts.isClassDeclaration)) {
      for (const member of node.members.filter(ts.isMethodDeclaration)) {
        const hidden =
          ts.isPrivateIdentifier(member.name) ||
          member.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.PrivateKeyword) === true;
        const first = member.parameters[0]?.type?.getText(tree) ?? '';
        if (!hidden && !SCOPES.test(first)) {
          yield `${node.name?.text ?? '?'}.${member.name.getText(tree)}`;
        }
      }
    }
  }
}

test('every repository method takes a scope first, but for those with a reason', () => {
  expect([...methodsWithoutScope()].sort()).toEqual(Object.keys(WITHOUT_SCOPE).sort());
});

/** Where the one way around a scope is taken. A new place is a reviewed change. */
const SYSTEM_SCOPES: readonly string[] = [
  'src/engines/audit-trail/refusals.ts',
  'src/modules/assets/asset-jobs.ts',
  'src/modules/assets/asset-sweeper.ts',
  'src/modules/audit/chain-sealer.ts',
  'src/modules/audit/chain-verifier.ts',
  'src/modules/auth/bootstrap/bootstrap.service.ts',
  'src/modules/auth/credentials/last-use.ts',
  'src/modules/auth/recovery/recovery.service.ts',
  'src/modules/auth/sessions/login.service.ts',
  'src/modules/auth/sessions/sessions.service.ts',
  'src/modules/organizations/organizations.service.ts',
  'src/modules/retention/retention-sweeper.ts',
  'src/modules/runs/bulk/bulk-worker.ts',
  'src/modules/runs/children.service.ts',
  'src/modules/runs/questions.service.ts',
  'src/modules/runs/scheduled/scheduled-runs.service.ts',
  'src/modules/streams/run-source.ts',
  'src/modules/streams/stream-compactor.ts',
  'src/modules/streams/task-source.ts',
  'src/modules/tasks/task-purger.ts',
  'src/modules/webhooks/delivery-dispatcher.ts',
  'src/modules/webhooks/hook-secrets.ts',
];

test('a system scope is taken only where this list says', () => {
  const users = sources('src')
    .filter((file) => !file.path.startsWith('src/access/') && /\bunsafelySystemScope\(/.test(file.text))
    .map((file) => file.path);
  expect(users).toEqual(SYSTEM_SCOPES);
});
