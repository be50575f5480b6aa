/** Rules of a task that need no database. */
import type { MemberEgress } from '../../../infrastructure/egress/egress.js';
import { DomainError, forbidden, invalid } from '../../../kernel/errors.js';
import type { ReferenceAccess } from '../tasks.repository.js';
import { TASK_LIMITS, type Visibility } from '../tasks.schema.js';

/**
 * The first characters of the prompt, on one line: white space of any kind and length is one space. Whole characters, so that no surrogate
 * pair is cut; a prompt may be long, so no more of it is looked at than that takes.
 */
export function defaultTitle(prompt: string): string {
  let title = '';
  let characters = 0;
  for (const character of prompt.trimStart()) {
    if (characters === TASK_LIMITS.defaultTitleCharacters) {
      break;
    }
    const isSpace = /\s/u.test(character);
    if (!isSpace || !title.endsWith(' ')) {
      title += isSpace ? ' ' : character;
      characters += 1;
    }
  }
  return title.trimEnd();
}

/**
 * `model` is short for `run_config.model`: either says it, null says none, undefined nothing.
 * @throws DomainError `invalid-request` where they differ
 */
export function agreedModel(
  model: string | null | undefined,
  inRunConfig: string | null | undefined,
): string | null | undefined {
  if (model !== undefined && inRunConfig !== undefined && model !== inRunConfig) {
    throw invalid('/model', 'model is short for run_config.model; give one of them, or the same in both.');
  }
  return model === undefined ? inRunConfig : model;
}

/** A task of a team is the team's to see unless it says otherwise; one without a team is its creator's. */
export function visibilityFor(wanted: Visibility | undefined, teamId: string | null): Visibility {
  const visibility = wanted ?? (teamId === null ? 'private' : 'team');
  if (visibility === 'team' && teamId === null) {
    throw invalid('/visibility', 'A task without a team cannot be visible to its team.');
  }
  return visibility;
}

/** @throws DomainError `invalid-request` for a URL that the server must not call */
export function assertCallback(egress: MemberEgress, url: string | null | undefined): void {
  const reason = url === undefined || url === null ? null : egress.refusal(url);
  if (reason !== null) {
    throw invalid('/callback', reason);
  }
}

/** `delay` and `ttl` are of the run that the task begins with. @throws DomainError `invalid-request` where it begins with none */
export function assertTimesStart(input: { delay?: unknown; ttl?: unknown }, starts: boolean): void {
  const named = input.delay !== undefined ? 'delay' : input.ttl !== undefined ? 'ttl' : null;
  if (named !== null && !starts) {
    throw invalid(`/${named}`, 'is of a run that starts with the task, and this task starts none');
  }
}

/**
 * What cannot be seen is an invalid value of the body; what can be seen but not worked in is forbidden.
 * @throws DomainError `invalid-request`, `forbidden`
 */
export function assertMayRefer(standings: ReferenceAccess | null): ReferenceAccess {
  if (standings === null) {
    throw new DomainError('internal', 'Something went wrong on our side.', { internal: 'no standings' });
  }
  if (standings.team === 'absent') {
    throw invalid('/team_id', 'There is no such team.');
  }
  if (standings.project === 'absent') {
    throw invalid('/project_id', 'There is no such project.');
  }
  if (!standings.hasAccount) {
    throw invalid('/account_id', 'There is no such account.');
  }
  if (!standings.hasArtistAccount) {
    throw invalid('/artist_account_id', 'There is no such account.');
  }
  if (standings.team === 'seen') {
    throw forbidden('You may not put tasks into this team.');
  }
  if (standings.project === 'seen') {
    throw forbidden('You may not put tasks into this project.');
  }
  return standings;
}

/**
 * The agent found, where what the body names is there. A new task for an agent that nobody has is `not-found`, as the agent's own
 * page would be; in a change of a task that is there, the name is an invalid value.
 * @throws DomainError with the given code and the field's pointer
 */
export async function namedInBody<Found>(
  agent: Promise<Found>,
  named: { agent?: string | undefined; agent_id?: string | undefined },
  code: 'not-found' | 'invalid-request',
): Promise<Found> {
  try {
    return await agent;
  } catch (error) {
    if (error instanceof DomainError && error.code === 'not-found') {
      const path = named.agent === undefined ? '/agent_id' : '/agent';
      const message = 'There is no such agent.';
      throw new DomainError(code, message, { issues: [{ path, message }] });
    }
    throw error;
  }
}
