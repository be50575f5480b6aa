import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type AppConfig, loadConfig } from './config/app-config.js';
import { findRunningServer } from './database/embedded/index.js';
import { createPino, PinoLog } from './http/pino-log.js';
import { DomainError } from './kernel/errors.js';
import { assertNever } from './kernel/assert-never.js';
import { AuditVerification } from './modules/audit/index.js';
import { Recovery, RecoveryRefused } from './modules/auth/index.js';
import { type AdminCommand, USAGE, UsageError, parseAdminCommand } from './start/admin-command.js';
import { AdminModule } from './start/admin.module.js';
import { askPassword } from './start/ask-password.js';
import { type AuditVerdict, verifyAudit } from './start/verify-audit.js';
import { startFailure } from './start/start-failure.js';

/** The embedded database belongs to the server that runs; while one does, we are one more client of it. */
async function configured(): Promise<AppConfig> {
  const config = loadConfig();
  const running = config.databaseUrl === null ? await findRunningServer(config.dataDir) : null;
  return running === null ? config : config.connectingTo(running.url);
}

async function run(
  command: Exclude<AdminCommand, { kind: 'help' }>,
  context: INestApplicationContext,
): Promise<AuditVerdict> {
  const recovery = context.get(Recovery);
  switch (command.kind) {
    case 'reset-password': {
      const { email } = command;
      const { password, wasMade } =
        command.password === null ? await askPassword() : { password: command.password, wasMade: false };
      await recovery.resetPassword(email, password, command.organizationSlug);
      const told = `The password of ${email} is set and every session of theirs has ended.`;
      return done(wasMade ? `${told}\nThe new password, shown this once: ${password}` : told);
    }
    case 'create-key':
      return done(await recovery.createKey(command.name, command.role, command.organizationSlug));
    case 'verify-audit':
      return verifyAudit(context.get(AuditVerification), command.organizationSlug, command.headFile);
    default:
      return assertNever(command);
  }
}

function done(text: string): AuditVerdict {
  return { isSound: true, text };
}

/** Exit code: 1 where a trail does not hold. */
async function main(args: readonly string[]): Promise<number> {
  const command = parseAdminCommand(args);
  if (command.kind === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  config = await configured();
  const log = new PinoLog(createPino('silent'));
  const context = await NestFactory.createApplicationContext(AdminModule.with(config, log), {
    logger: log,
    abortOnError: false,
  });
  try {
    const { isSound, text } = await run(command, context);
    process.stdout.write(`${text}\n`);
    return isSound ? 0 : 1;
  } finally {
    await context.close();
  }
}

let config: AppConfig | null = null;
try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  const ours = error instanceof UsageError || error instanceof RecoveryRefused || error instanceof DomainError;
  const sentence = ours ? error.message : startFailure(error, config);
  process.stderr.write(
    `taskyard: ${sentence ?? (error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
  );
  process.exit(1);
}
