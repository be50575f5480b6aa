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
  'LeaseRescuerRepository.reap': 'a sweep over every organisation',
  'RunTreeRepository.unfinishedCascades': 'a sweep over every organisation',
  'WaitsRepository.overdue': 'a sweep over every organisation',
  'BudgetEnforcerRepository.stop': 'a sweep over every organisation',
  'WorkerHeartbeatsRepository.sweep': 'a sweep over every organisation',
  'RunTransitionsRepository.endDelays': 'a sweep over every organisation',
  'RunTransitionsRepository.expire': 'a sweep over every organisation',
  'RunTransitionsRepository.park': 'a sweep over every organisation',
  'RunTransitionsRepository.promote': 'a sweep over every organisation',
  'StreamCompactionRepository.dueOrganizations': 'finds whose finished logs are to be made small',
  'RunTransitionsRepository.reconcileSlots': 'a sweep over every organisation',
  'RunTransitionsRepository.dropIdleKeys': 'a sweep over every organisation',
  'RunTransitionsRepository.slotDrift': 'a sweep over every organisation',
  'BudgetsRepository.sweepCounters': 'a sweep over every organisation',
  'AssetJobsRepository.take': 'looks for work over every organisation',
  'AssetJobsRepository.overdue': 'a sweep over every organisation',
  'AssetJobsRepository.ready': 'a sweep over every organisation',
  'RetentionDueQuery.classes': 'looks for work over every organisation',
  'ScheduleDispatchRepository.claimDue': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.claimUnarmed': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.claimOutdated': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.claimWaiting': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.lock': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.firingContext': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.insertSlots': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.backfill': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.advance': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.nameCoalesced': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.settleWaiting': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.disarm': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.postpone': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.tellMissed': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.untilDueMs': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.overdue': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.takeUntold': 'slots come due over every organisation; rows carry theirs',
  'ScheduleDispatchRepository.sweepLedger': 'slots come due over every organisation; rows carry theirs',
  'ScheduledRunsRepository.create': 'runs of schedules over every organisation; rows carry theirs',
  'BulkOperationsRepository.claim': 'looks for work over every organisation',
  'WebhookSecretStore.rewrap': 'brings records of every organisation under the present root key',
  'WebhookSecretStore.count': 'as above',
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
  'src/infrastructure/audit-trail/access-denied-recorder.ts',
  'src/modules/assets/jobs/asset-jobs.ts',
  'src/modules/assets/jobs/asset-sweeper.ts',
  'src/modules/audit/audit-chain-writer.ts',
  'src/modules/audit/chain-verifier.ts',
  'src/modules/auth/bootstrap/bootstrap.service.ts',
  'src/modules/auth/credentials/last-used-tracker.ts',
  'src/modules/auth/recovery/recovery.service.ts',
  'src/modules/auth/sessions/login.service.ts',
  'src/modules/auth/sessions/sessions.service.ts',
  'src/modules/organizations/organizations/organizations.service.ts',
  'src/modules/retention/retention-sweeper.ts',
  'src/modules/runs/bulk/bulk-worker.ts',
  'src/modules/runs/children/children.service.ts',
  'src/modules/runs/interaction/questions.service.ts',
  'src/modules/runs/scheduled/scheduled-runs.service.ts',
  'src/modules/streams/sources/run-source.ts',
  'src/modules/streams/log/stream-compactor.ts',
  'src/modules/streams/sources/task-source.ts',
  'src/modules/tasks/purge/task-purger.ts',
  'src/modules/webhooks/dispatch/delivery-dispatcher.ts',
  'src/modules/webhooks/secrets/webhook-secrets.service.ts',
];

test('a system scope is taken only where this list says', () => {
  const users = sources('src')
    .filter((file) => !file.path.startsWith('src/access/') && /\bunsafelySystemScope\(/.test(file.text))
    .map((file) => file.path);
  expect(users.sort()).toEqual([...SYSTEM_SCOPES].sort());
});
