/**
 * Which of a run's secrets its program finds as variables.
 *
 * A secret's name is chosen by an organization's admin and becomes the name of a variable on the operator's machine, where some names make
 * a program run other code (`LD_PRELOAD`, `NODE_OPTIONS`, `GIT_SSH_COMMAND`, `PATH`) or send its requests and keys elsewhere
 * (`OPENAI_BASE_URL`, `AWS_ENDPOINT_URL`, `KUBECONFIG`, `HTTPS_PROXY`). No list of such names is complete. So where the operator's file
 * says which secrets a command takes (`secret_names`), it gets those, and where it does not, only names that end as credentials' do. What
 * the file itself sets always wins, and all of a run's secrets are in its input, whatever their names.
 */
import type { Command } from '../../../config/agents-file.js';

const CREDENTIAL =
  /^(?:[A-Z][A-Z0-9_]*_)?(?:KEY|KEY_ID|TOKEN|SECRET|PASSWORD|PASSPHRASE|PAT|PIN)$|^(?:PGPASSWORD|MYSQL_PWD|SSHPASS|REDISCLI_AUTH)$/;
/** Families in which every name is a setting (npm's `key`, git's `config.key`), and the server's own variables. */
const SETTING = /(?:^|_)(?:CONFIG|CONF|LD|DYLD|PROXY)_|^TASKYARD_/;

/** The variables, by name. */
export function secretVariables(command: Command, secrets: Readonly<Record<string, string>>): Record<string, string> {
  const taken = (name: string): boolean =>
    command.secretNames === null ? CREDENTIAL.test(name) && !SETTING.test(name) : command.secretNames.includes(name);
  return Object.fromEntries(Object.entries(secrets).filter(([name]) => taken(name)));
}
