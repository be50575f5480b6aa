import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { ConfigError, loadConfig } from './config/app-config.js';
import { configureApp, createAdapter } from './configure-app.js';
import { StartRefused } from './database/embedded/start-refused.js';
import { createPino, PinoLog } from './http/pino-log.js';

async function main(): Promise<void> {
  const config = loadConfig();
  const log = new PinoLog(createPino(config.logLevel));
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, log), createAdapter(config), {
    bodyParser: false,
    logger: log,
    abortOnError: false,
  });
  await configureApp(app);
  await app.listen({ port: config.port, host: config.host });
}

main().catch((error: unknown) => {
  if (error instanceof ConfigError || error instanceof StartRefused) {
    process.stderr.write(`taskyard: ${error.message}\n`);
  } else {
    process.stderr.write(
      `taskyard could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
  process.exitCode = 1;
});
