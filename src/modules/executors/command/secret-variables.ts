/**
 * Which of a run's secrets its program finds as variables.
 *
 * A secret's name is chosen by an organisation's admin and becomes the name of a variable on the operator's machine, where some names
 * are orders: `LD_PRELOAD`, `NODE_OPTIONS`, `GIT_SSH_COMMAND`, `PATH` make a program run other code. So where the operator's file says
 * which secrets a command takes (`secret_names`), it gets those. Where it does not, it gets those whose name ends like a credential's,
 * and others unless they belong to a family that loaders, interpreters or tools take orders by. What the file itself sets always wins,
 * and all of a run's secrets are in its input, whatever their names.
 */
import type { Command } from '../../../config/agents-file.js';

const CREDENTIAL = /(^|_)(KEY|KEYS|KEY_ID|TOKEN|TOKENS|SECRET|SECRETS|PASSWORD|PASSPHRASE|CREDENTIAL|CREDENTIALS)$/;
const ORDERS = new RegExp(
  [
    '^(LD|DYLD|GCONV|GLIBC|MALLOC|NODE|NPM|YARN|DENO|BUN|PYTHON|PERL5?|RUBY|BUNDLE|GEM|LUA|PHP|JAVA|JDK|JVM|DOTNET|CORECLR|COMPLUS|COR)(_|[A-Z]*$)',
    '^(BASH|ZSH|KSH|SHELL|ENV|IFS|CDPATH|PROMPT|PS[0-9])',
    '^(GIT|SSH|GPG|CURL|WGET|PIP|UV|CARGO|RUST|GO|MAKE|CC|CXX|LESS|MAN|TERM|DOCKER|KUBE|TASKYARD|XDG|SYSTEMD|OPENSSL|SSL|HOST|LC|LANG)(_|[A-Z]*$)',
    '(PATH|OPTS?|OPTIONS|FLAGS|PRELOAD|COMMAND|CONFIG|CONF|PROXY|HOME|EDITOR|PAGER|BROWSER|STARTUP|ARGS|DIR)$',
    '^(TMP|TEMP|USER|LOGNAME|TZ|CLASSPATH|HOSTALIASES|RES_OPTIONS|LOCALDOMAIN)',
  ].join('|'),
);

/** The variables, by name. */
export function secretVariables(command: Command, secrets: Readonly<Record<string, string>>): Record<string, string> {
  const taken = (name: string): boolean =>
    command.secretNames === null ? CREDENTIAL.test(name) || !ORDERS.test(name) : command.secretNames.includes(name);
  return Object.fromEntries(Object.entries(secrets).filter(([name]) => taken(name)));
}
