/**
 * Who may what, written down by hand from docs/access.md and from nothing in `src`: the matrix holds the running server to these
 * tables, so whoever changes a rule has to change it here too.
 *
 * Rights, each holding those before it: `-` it is not there, `r` read, `c` contribute, `m` manage, `d` delete (of teams, which a
 * maintainer manages but does not delete).
 */
export type Right = '-' | 'r' | 'c' | 'm' | 'd';

const RANKS = '-rcmd';

export function suffices(right: Right, needed: Right): boolean {
  return RANKS.indexOf(right) >= RANKS.indexOf(needed);
}

/**
 * The actors. Of the first organisation:
 * - `viewer`: an organisation viewer who is all the same maintainer of team red; `viewerKey`: role viewer, held to red
 * - `outsider`: a member in no team; `member`: a member of red and blue; `maintainer`: of red
 * - `creator`: a member in no team who made everything that is not `own`
 * - `teamKey`, `adminTeamKey`: roles member and admin, held to red; `openKey`: role member, beside the teams
 * - `boundKey`: role admin, but of `member`; `heldBoundKey`: the same, held to red; `memberTeamKey`: of its own, held to red as a member
 * - `noTeamKey`: of `outsider`, held to red, where the outsider is not; `demotedKey`: of an admin who is a viewer by now
 * - `workerKey`: the worker's routes
 * Of nobody is also `orphanedKey`: a key held to a team that was deleted.
 * - `admin`, `adminKey`, `owner`, `operatorKey` (the bootstrap key)
 */
export const STRANGERS = ['strangerKey', 'strangerOwner'] as const;
export const NOBODIES = [
  'nobody',
  'badKey',
  'wrongSecret',
  'forgedToken',
  'expiredKey',
  'revokedKey',
  'orphanedKey',
] as const;
export const OURS = [
  'viewer',
  'viewerKey',
  'outsider',
  'member',
  'maintainer',
  'creator',
  'teamKey',
  'adminTeamKey',
  'openKey',
  'boundKey',
  'heldBoundKey',
  'memberTeamKey',
  'noTeamKey',
  'demotedKey',
  'workerKey',
  'admin',
  'adminKey',
  'owner',
  'operatorKey',
] as const;
export const ACTORS = [...NOBODIES, ...STRANGERS, ...OURS] as const;
export type ActorName = (typeof ACTORS)[number];

/** What kinds of route an actor may come in by at all, whatever it is about: anything else is 403, there or not. */
export const DOORS = grid(`
              self read work administer worker operate upload
strangerKey   y    y    y    y          y      -       y
strangerOwner y    y    y    y          y      -       y
viewer        y    y    -    -          -      -       -
viewerKey     y    y    -    -          -      -       -
outsider      y    y    y    -          -      -       y
member        y    y    y    -          -      -       y
maintainer    y    y    y    -          -      -       y
creator       y    y    y    -          -      -       y
teamKey       y    y    y    -          -      -       y
adminTeamKey  y    y    y    -          -      -       y
openKey       y    y    y    -          -      -       y
boundKey      y    y    y    -          -      -       y
heldBoundKey  y    y    y    -          -      -       y
memberTeamKey y    y    y    -          -      -       y
noTeamKey     y    y    y    -          -      -       y
demotedKey    y    y    -    -          -      -       -
workerKey     y    -    -    -          y      -       y
admin         y    y    y    y          y      -       y
adminKey      y    y    y    y          y      -       y
owner         y    y    y    y          y      y       y
operatorKey   y    y    y    y          y      y       y
`);

/**
 * Tasks, and all that hangs on one: runs, streams, assets, messages, its schedule, its shares. `own` is private and the actor's;
 * the rest is the creator's. `team` is red's; all others are violet's, a team that none of the actors is in. `readShared`, `writeShared`
 * are shared with red; `readProject`, `writeProject` are in a project that is. `private` and `secluded` are red's, and private: the one is
 * itself shared with red for writing, the other is in a project that is. `open` is visible to the organisation. `asked` is private, and a run of it waits for an answer of the outsider's.
 */
const TASKS = grid(`
              own team other readShared writeShared readProject writeProject private secluded open foreign asked
strangerKey   m   -    -     -          -           -           -            -       -        -    m       -
strangerOwner m   -    -     -          -           -           -            -       -        -    m       -
viewer        r   r    -     r          r           r           r            r       -        r    -       -
viewerKey     r   r    -     r          r           r           r            r       -        r    -       -
outsider      m   -    -     -          -           -           -            -       -        r    -       r
member        m   r    -     r          c           r           c            c       -        r    -       -
maintainer    m   m    -     r          c           r           c            c       -        r    -       -
creator       m   m    m     m          m           m           m            m       m        m    -       m
teamKey       m   m    -     r          c           r           c            c       -        r    -       -
adminTeamKey  m   m    -     r          c           r           c            c       -        r    -       -
openKey       m   r    r     r          r           r           r            -       -        r    -       -
boundKey      m   r    -     r          c           r           c            c       -        r    -       -
heldBoundKey  m   r    -     r          c           r           c            c       -        r    -       -
memberTeamKey m   r    -     r          c           r           c            c       -        r    -       -
noTeamKey     m   -    -     -          -           -           -            -       -        r    -       -
demotedKey    r   -    -     -          -           -           -            -       -        r    -       -
admin         m   m    m     m          m           m           m            m       m        m    -       m
adminKey      m   m    m     m          m           m           m            m       m        m    -       m
owner         m   m    m     m          m           m           m            m       m        m    -       m
operatorKey   m   m    m     m          m           m           m            m       m        m    -       m
`);

/** The right to say something to a task: whoever was asked may answer, and nothing else. */
const QUESTIONS: typeof TASKS = { ...TASKS, outsider: { ...TASKS['outsider'], asked: 'c' } };

/** Runs on lease to a worker that is none of the actors: nobody's to touch, and not to be told from absent ones. */
const LEASES = grid(`
              leased queued foreign
strangerKey   -      -      -
strangerOwner -      -      -
workerKey     -      -      -
admin         -      -      -
adminKey      -      -      -
owner         -      -      -
operatorKey   -      -      -
`);

/** Everyone in the organisation sees its directory, so that they can name whom to share with; keys held to teams see theirs. */
const TEAMS = grid(`
              red violet foreign
strangerKey   -   -      d
strangerOwner -   -      d
viewer        r   r      -
viewerKey     r   -      -
outsider      r   r      -
member        r   r      -
maintainer    m   r      -
creator       r   r      -
teamKey       m   -      -
adminTeamKey  m   -      -
openKey       r   r      -
boundKey      r   r      -
heldBoundKey  r   -      -
memberTeamKey r   -      -
noTeamKey     -   -      -
demotedKey    r   r      -
admin         d   d      -
adminKey      d   d      -
owner         d   d      -
operatorKey   d   d      -
`);

/** `own` is the actor's; the others the creator's: of team red, of violet, of violet but shared with red. */
const PROJECTS = grid(`
              own red violet shared foreign
strangerKey   m   -   -      -      m
strangerOwner m   -   -      -      m
viewer        r   r   r      r      -
viewerKey     r   r   -      r      -
outsider      m   r   r      r      -
member        m   r   r      r      -
maintainer    m   m   r      r      -
creator       m   m   m      m      -
teamKey       m   m   -      r      -
adminTeamKey  m   m   -      r      -
openKey       m   r   r      r      -
boundKey      m   r   r      r      -
heldBoundKey  m   r   -      r      -
memberTeamKey m   r   -      r      -
noTeamKey     m   -   -      -      -
demotedKey    r   r   r      r      -
admin         m   m   m      m      -
adminKey      m   m   m      m      -
owner         m   m   m      m      -
operatorKey   m   m   m      m      -
`);

/** `own` was made by the actor and is nobody's; `nobodys` by the creator; the last two are the accounts of two persons. */
const ACCOUNTS = grid(`
              own nobodys members outsiders foreign
strangerKey   m   -       -       -         m
strangerOwner m   -       -       -         m
viewer        r   r       r       r         -
viewerKey     r   r       r       -         -
outsider      m   r       r       m         -
member        m   r       m       r         -
maintainer    m   r       r       r         -
creator       m   m       r       r         -
teamKey       m   r       r       -         -
adminTeamKey  m   r       r       -         -
openKey       m   r       r       r         -
boundKey      m   r       m       r         -
heldBoundKey  m   r       r       -         -
memberTeamKey m   r       r       -         -
noTeamKey     m   r       -       -         -
demotedKey    r   r       r       r         -
admin         m   m       m       m         -
adminKey      m   m       m       m         -
owner         m   m       m       m         -
operatorKey   m   m       m       m         -
`);

/** `colleague` is a member of red, `bystander` of nothing, `chief` an owner: nobody manages people above themselves. */
const USERS = grid(`
              colleague bystander chief foreign
strangerKey   -         -         -     m
strangerOwner -         -         -     m
viewer        r         r         r     -
viewerKey     r         -         -     -
outsider      r         r         r     -
member        r         r         r     -
maintainer    r         r         r     -
creator       r         r         r     -
teamKey       r         -         -     -
adminTeamKey  r         -         -     -
openKey       r         r         r     -
boundKey      r         r         r     -
heldBoundKey  r         -         -     -
memberTeamKey r         -         -     -
noTeamKey     -         -         -     -
demotedKey    r         r         r     -
admin         m         m         r     -
adminKey      m         m         r     -
owner         m         m         m     -
operatorKey   m         m         r     -
`);

const AGENTS = grid(`
              ours foreign
strangerKey   -    m
strangerOwner -    m
viewer        r    -
viewerKey     r    -
outsider      r    -
member        r    -
maintainer    r    -
creator       r    -
teamKey       r    -
adminTeamKey  r    -
openKey       r    -
boundKey      r    -
heldBoundKey  r    -
memberTeamKey r    -
noTeamKey     r    -
demotedKey    r    -
admin         m    -
adminKey      m    -
owner         m    -
operatorKey   m    -
`);

/** Keys of roles member and owner; the bootstrap key, which operates the instance, is above every admin's. */
const KEYS = grid(`
              members owners bootstrap foreign
strangerKey   -       -      -         m
strangerOwner -       -      -         m
admin         m       r      r         -
adminKey      m       r      r         -
owner         m       m      m         -
operatorKey   m       r      m         -
`);

/** Webhooks, and what was sent to them. */
const WEBHOOKS = grid(`
              ours foreign
strangerKey   -    m
strangerOwner -    m
admin         m    -
adminKey      m    -
owner         m    -
operatorKey   m    -
`);

const BUDGETS = grid(`
              ours foreign
strangerKey   -    m
strangerOwner -    m
admin         m    -
adminKey      m    -
owner         m    -
operatorKey   m    -
`);

const ORGANIZATIONS = grid(`
              first second
owner         r     r
operatorKey   r     r
`);

/** `own` was started by the actor; `creators` by the creator, which admins see too. */
const OPERATIONS = grid(`
              own creators foreign
strangerKey   r   -        r
strangerOwner r   -        r
viewer        r   -        -
viewerKey     r   -        -
outsider      r   -        -
member        r   -        -
maintainer    r   -        -
creator       r   r        -
teamKey       r   -        -
adminTeamKey  r   -        -
openKey       r   -        -
boundKey      r   -        -
heldBoundKey  r   -        -
memberTeamKey r   -        -
noTeamKey     r   -        -
demotedKey    r   -        -
admin         r   r        -
adminKey      r   r        -
owner         r   r        -
operatorKey   r   r        -
`);

export const RIGHTS = {
  task: TASKS,
  question: QUESTIONS,
  lease: LEASES,
  team: TEAMS,
  project: PROJECTS,
  account: ACCOUNTS,
  user: USERS,
  agent: AGENTS,
  key: KEYS,
  budget: BUDGETS,
  webhook: WEBHOOKS,
  operation: OPERATIONS,
  organization: ORGANIZATIONS,
} as const;
export type Kind = keyof typeof RIGHTS;

/** The objects of a kind, and one that is not there. */
export function objectsOf(kind: Kind): string[] {
  const [first] = Object.values(RIGHTS[kind]);
  return [...Object.keys(first ?? {}), 'absent'];
}

export function rightOf(actor: ActorName, kind: Kind, object: string): Right {
  const right = RIGHTS[kind][actor]?.[object] ?? '-';
  if (right !== '-' && right !== 'r' && right !== 'c' && right !== 'm' && right !== 'd') {
    throw new Error(`${right} is no right`);
  }
  return right;
}

/** Rows by actor, columns by name. */
function grid(text: string): Record<string, Record<string, string>> {
  const [head = [], ...rows] = text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return Object.fromEntries(
    rows.map(([actor = '', ...cells]) => {
      if (cells.length !== head.length) {
        throw new Error(`${actor} has ${cells.length} cells under ${head.length} columns`);
      }
      return [actor, Object.fromEntries(head.map((column, index) => [column, cells[index] ?? '']))];
    }),
  );
}
