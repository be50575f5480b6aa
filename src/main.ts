import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { type AppConfig, loadConfig } from './config/app-config.js';
import { configureApp, createAdapter } from './configure-app.js';
import { HealthController } from './http/health/health.controller.js';
import { createPino, PinoLog } from './http/pino-log.js';
import { PublicUrl } from './http/request/public-url.js';
import { Bootstrap } from './modules/auth/index.js';
import { banner, isPrivateTerminal } from './start/banner.js';
import { ProcessSupervision } from './start/process-supervision.js';
import { startFailure } from './start/start-failure.js';
import { StartLog } from './start/start-log.js';

async function start(config: AppConfig): Promise<void> {
  const log = new PinoLog(createPino(config.logLevel));
  const supervision = new ProcessSupervision(log);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, log), createAdapter(config), {
    bodyParser: false,
    logger: new StartLog(log),
    abortOnError: false,
  });
  try {
    await configureApp(app);
    await app.listen({ port: config.port, host: config.host });
  } catch (error) {
    // Whatever was started, the database above all, is stopped in order before the error is told.
    await app.close();
    throw error;
  }
  app.useLogger(log);
  supervision.watch(app, () => app.get(HealthController).drain(), config.shutdownMs);
  const { outcome } = app.get(Bootstrap);
  process.stdout.write(banner({ url: app.get(PublicUrl).to(''), ...outcome, isTerminal: isPrivateTerminal() }));
}

let config: AppConfig | null = null;
try {
  config = loadConfig();
  await start(config);
} catch (error) {
  const sentence = startFailure(error, config);
  const told =
    sentence ?? `could not start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  process.stderr.write(`taskyard: ${told}\n`);
  // Not left to the event loop: what a half-finished start holds open would keep the process for ever.
  process.exit(1);
}
