import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../src/app.module.js';
import { loadConfig } from '../src/config/app-config.js';
import { configureApp, createAdapter } from '../src/configure-app.js';
import { Database } from '../src/database/database.js';
import { createPino, PinoLog } from '../src/http/pino-log.js';

export interface Recorder {
  /** The one statement a read sends once its actor is known; throws where it sends more. */
  statementOf(path: string, key: string): Promise<{ text: string; values: readonly unknown[] }>;
  stop(): Promise<void>;
}

/** The application in this process, listening to what it asks the database. */
export async function startRecorder(environment: Readonly<Record<string, string>>): Promise<Recorder> {
  const config = loadConfig(environment);
  const log = new PinoLog(createPino(config.logLevel));
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, log), createAdapter(config), {
    bodyParser: false,
    logger: log,
    abortOnError: false,
  });
  await configureApp(app);
  await app.listen({ port: 0, host: '127.0.0.1' });
  const base = (await app.getUrl()).replace('[::1]', '127.0.0.1');
  const database = app.get(Database);
  return {
    async statementOf(path, key) {
      const get = () => fetch(base + path, { headers: { 'x-api-key': key } });
      await (await get()).text();
      const seen: { text: string; values: readonly unknown[] }[] = [];
      const observer = (text: string, values: readonly unknown[]) => seen.push({ text, values });
      database.observers.add(observer);
      const reply = await get();
      await reply.text();
      database.observers.delete(observer);
      const ours = seen.filter((statement) => /\btasks\b/.test(statement.text));
      const [first] = ours;
      if (reply.status !== 200 || first === undefined || ours.length !== 1) {
        throw new Error(`${path}: ${reply.status}, ${ours.length} statements`);
      }
      return first;
    },
    stop: () => app.close(),
  };
}
