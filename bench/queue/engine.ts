import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Client } from 'pg';
import { AppModule } from '../../src/app.module.js';
import { loadConfig } from '../../src/config/app-config.js';
import { configureApp, createAdapter } from '../../src/configure-app.js';
import { Database } from '../../src/database/database.js';
import { sql } from '../../src/database/sql.js';
import { createPino, PinoLog } from '../../src/http/pino-log.js';
import { ActorLoader } from '../../src/modules/auth/index.js';
import { WorkerService } from '../../src/modules/runs/index.js';
import { newTask, TaskDesk } from '../../src/modules/tasks/index.js';
import { BatchCreateTasksService } from '../../src/modules/tasks/commands/batch-create-tasks.service.js';

export interface Engine {
  createOne(): Promise<void>;
  createBatch(count: number): Promise<void>;
  /** Claims up to `batch` and completes them; how many. */
  work(batch: number): Promise<number>;
  /** The plans of a claim and a completion, rolled back. */
  explain(batch: number): Promise<string>;
  stop(): Promise<void>;
}

const AGENT = 'benched';

/** The whole application in this process; what is measured goes to its services. */
export async function startEngine(environment: Readonly<Record<string, string | undefined>>): Promise<Engine> {
  const config = loadConfig(environment);
  const log = new PinoLog(createPino(config.logLevel));
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, log), createAdapter(config), {
    bodyParser: false,
    logger: log,
    abortOnError: false,
  });
  await configureApp(app);
  await app.listen({ port: 0, host: '127.0.0.1' });
  const database = app.get(Database);
  const [key] = await database.rows<{ organizationId: string; id: string }>(sql`
    select organization_id as "organizationId", id from principals where kind = 'api_key' and role = 'admin' limit 1`);
  const actor = key === undefined ? null : await app.get(ActorLoader).load(key.organizationId, key.id);
  if (actor === null) {
    throw new Error('there is no admin key to work as');
  }
  const [worker, desk, batches] = [app.get(WorkerService), app.get(TaskDesk), app.get(BatchCreateTasksService)];
  const never = new AbortController().signal;
  const task = newTask.parse({ agent: AGENT, prompt: 'x' });
  const claim = (batch: number) =>
    worker.claim(actor, { agents: [AGENT], max: batch, wait_seconds: 0, worker_id: 'bench' }, never);
  const complete = (runId: string, fence: string) => worker.complete(actor, runId, { fence, output: {} });
  return {
    async createOne() {
      await desk.create(actor, task, null);
    },
    async createBatch(count) {
      const tasks = Array.from({ length: count }, () => ({ agent: AGENT, prompt: 'x' }));
      const { value } = await batches.create(actor, { tasks }, null);
      const refused = value.results.find(({ status }) => status !== 201);
      if (refused !== undefined) {
        throw new Error(`refused: ${JSON.stringify(refused)}`);
      }
    },
    async work(batch) {
      const { runs } = await claim(batch);
      await Promise.all(runs.map(({ run, lease }) => complete(run.id, lease.fence)));
      return runs.length;
    },
    async explain(batch) {
      const seen: { text: string; values: readonly unknown[] }[] = [];
      const observer = (text: string, values: readonly unknown[]): void => void seen.push({ text, values });
      database.observers.add(observer);
      const { runs } = await claim(batch);
      const [first] = runs;
      if (first !== undefined) {
        await complete(first.run.id, first.lease.fence);
      }
      database.observers.delete(observer);
      await Promise.all(runs.slice(1).map(({ run, lease }) => worker.release(actor, run.id, lease.fence)));
      return plans(environment['DATABASE_URL'] ?? '', seen);
    },
    stop: () => app.close(),
  };
}

async function plans(
  url: string,
  statements: readonly { text: string; values: readonly unknown[] }[],
): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const told: string[] = [];
  for (const { text, values } of statements) {
    await client.query('begin');
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `explain (analyze, buffers, costs off, timing on) ${text}`,
      [...values],
    );
    await client.query('rollback');
    told.push(`${text.trim().slice(0, 60).replace(/\s+/g, ' ')} …`, ...rows.map((row) => row['QUERY PLAN']), '');
  }
  await client.end();
  return told.join('\n');
}
