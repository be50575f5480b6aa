import { Identity1764000000000 } from '../../migrations/1764000000000-identity.js';
import { Work1764000000001 } from '../../migrations/1764000000001-work.js';
import { Limits1764000000002 } from '../../migrations/1764000000002-limits.js';
import { People1764000000003 } from '../../migrations/1764000000003-people.js';
import { Bulk1764000000004 } from '../../migrations/1764000000004-bulk.js';
import { VerbatimReplies1764000000005 } from '../../migrations/1764000000005-verbatim-replies.js';
import { Budgets1764000000006 } from '../../migrations/1764000000006-budgets.js';
import { Retention1764000000007 } from '../../migrations/1764000000007-retention.js';
import { Streams1764000000009 } from '../../migrations/1764000000009-streams.js';
import { AssetUploads1764000000010 } from '../../migrations/1764000000010-asset-uploads.js';
import { ScheduleFiring1764000000011 } from '../../migrations/1764000000011-schedule-firing.js';
import { Outbox1764000000012 } from '../../migrations/1764000000012-outbox.js';
import { Trust1764000000013 } from '../../migrations/1764000000013-trust.js';
import { HotPath1764000000014 } from '../../migrations/1764000000014-hot-path.js';
import { GivenSecrets1764000000015 } from '../../migrations/1764000000015-given-secrets.js';
import { HeldKeys1764000000016 } from '../../migrations/1764000000016-held-keys.js';
import { DeletedAgents1764000000019 } from '../../migrations/1764000000019-deleted-agents.js';
import { DeletedPayloads1764000000027 } from '../../migrations/1764000000027-deleted-payloads.js';
import { SignIn1764000000028 } from '../../migrations/1764000000028-sign-in.js';
import { AssetReservations1764000000029 } from '../../migrations/1764000000029-asset-reservations.js';
import { AssetTurns1764000000030 } from '../../migrations/1764000000030-asset-turns.js';
import { DeletableTeams1764000000031 } from '../../migrations/1764000000031-deletable-teams.js';
import { SplitCharacters1764000000032 } from '../../migrations/1764000000032-split-characters.js';

/** Every migration, oldest first. Never edit one that has been released; add another. */
export const migrations = [
  Identity1764000000000,
  Work1764000000001,
  Limits1764000000002,
  People1764000000003,
  Bulk1764000000004,
  VerbatimReplies1764000000005,
  Budgets1764000000006,
  Retention1764000000007,
  Streams1764000000009,
  AssetUploads1764000000010,
  ScheduleFiring1764000000011,
  Outbox1764000000012,
  Trust1764000000013,
  HotPath1764000000014,
  GivenSecrets1764000000015,
  HeldKeys1764000000016,
  DeletedAgents1764000000019,
  DeletedPayloads1764000000027,
  SignIn1764000000028,
  AssetReservations1764000000029,
  AssetTurns1764000000030,
  DeletableTeams1764000000031,
  SplitCharacters1764000000032,
] as const;
