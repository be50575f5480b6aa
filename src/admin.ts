import { NestFactory } from '@nestjs/core';
import { type AppConfig, loadConfig } from './config/app-config.js';
import { findRunningServer } from './database/embedded/index.js';
import { createPino, PinoLog } from './http/pino-log.js';
import { DomainError } from './kernel/errors.js';
import { assertNever } from './kernel/assert-never.js';
import { Recovery, RecoveryRefused } from './modules/auth/index.js';
import { type AdminCommand, USAGE, UsageError, parseAdminCommand } from './start/admin-command.js';
import { AdminModule } from './start/admin.module.js';
import { askPassword } from './start/ask-password.js';
import { startFailure } from './start/start-failure.js';

/** The embedded database belongs to the server that runs; while one does, we are one more client of it. */
async function configured(): Promise<AppConfig> {
  const config = loadConfig();
  const running = config.databaseUrl === null ? await findRunningServer(config.dataDir) : null;
  return running === null ? config : config.connectingTo(running.url);
}

async function run(command: Exclude<AdminCommand, { kind: 'help' }>, recovery: Recovery): Promise<string> {
  switch (command.kind) {
    case 'reset-password': {
      const { email } = command;
      const { password, wasMade } =
        command.password === null ? await askPassword() : { password: command.password, wasMade: false };
      await recovery.resetPassword(email, password);
      const told = `The password of ${email} is set and every session of theirs has ended.`;
      return wasMade ? `${told}\nThe new password, shown this once: ${password}` : told;
    }
    case 'create-key':
      return recovery.createKey(command.name, command.role, command.organizationSlug);
    default:
      return assertNever(command);
  }
}

async function main(args: readonly string[]): Promise<void> {
  const command = parseAdminCommand(args);
  if (command.kind === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  config = await configured();
  const log = new PinoLog(createPino('silent'));
  const context = await NestFactory.createApplicationContext(AdminModule.with(config, log), {
    logger: log,
    abortOnError: false,
  });
  try {
    process.stdout.write(`${await run(command, context.get(Recovery))}\n`);
  } finally {
    await context.close();
  }
}

let config: AppConfig | null = null;
try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  const ours = error instanceof UsageError || error instanceof RecoveryRefused || error instanceof DomainError;
  const sentence = ours ? error.message : startFailure(error, config);
  process.stderr.write(
    `taskyard: ${sentence ?? (error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
  );
  process.exit(1);
}
