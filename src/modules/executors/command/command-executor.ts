import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Command } from '../../../config/agents-file.js';
import { AppConfig } from '../../../config/app-config.js';
import { parseJsonBody } from '../../../http/body/json/parse-json-body.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { type AgentForExecution, commandConfigSchema } from '../../agents/index.js';
import { asOutput, withoutByteOrderMark } from '../agent-lines.js';
import { type Executor, type LeasedRun, RunFailure, type RunResult } from '../executor.js';
import { ExecutorsRepository } from '../executors.repository.js';
import { latestUserText, agentRunPayload } from '../agent-run-payload.js';
import { CommandOutput } from './command-output.js';
import { outFiles, readRegular } from './agent-files.js';
import { type Exit, ProcessGroup } from './process-group.js';
import { secretVariables } from './secret-variables.js';
import { Watchdog } from './watchdog.js';
import { type WorkFolder, WorkFolders } from './work-folders.js';

/** From SIGTERM to SIGKILL. */
const GRACE_MS = 5_000;
/** For the pipes of a program that is gone: what is in them is read, then they are let go. */
const DRAIN_MS = 10_000;
const SWEEP_MS = 3_600_000;
const OUTPUT_FILE_BYTES = 2 * 1024 * 1024;

/** Runs agents of kind `command`: programs of the operator's. `docs/agents/command.md` is their contract. */
@Injectable()
export class CommandExecutor implements Executor, OnModuleInit, OnApplicationShutdown {
  readonly kind = 'command';
  readonly concurrency: number;
  readonly #folders: WorkFolders;
  readonly #watchdog = new Watchdog();
  #sweeping: NodeJS.Timeout | null = null;

  constructor(
    private readonly config: AppConfig,
    private readonly repository: ExecutorsRepository,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {
    this.concurrency = config.commandConcurrency;
    this.#folders = new WorkFolders(config.dataDir);
  }

  /** Before any run is claimed: what a server that was killed left running is ended. */
  async onModuleInit(): Promise<void> {
    if (this.config.role === 'api') {
      return;
    }
    await this.#folders.recover();
    this.#sweeping = setInterval(() => void this.#sweep(), SWEEP_MS).unref();
  }

  onApplicationShutdown(): void {
    if (this.#sweeping !== null) {
      clearInterval(this.#sweeping);
    }
    this.#watchdog.stop();
  }

  async execute(run: LeasedRun, agent: AgentForExecution): Promise<RunResult> {
    const named = commandConfigSchema.safeParse(agent.config);
    const command = named.success ? this.config.commands.get(named.data.command) : undefined;
    if (command === undefined) {
      throw new RunFailure(
        'UnknownCommand',
        'The command of this agent is not in the operator’s AGENTS_FILE any more.',
        false,
      );
    }
    const { task } = run.work;
    const isIsolated = task['is_isolated'] === true;
    const folder = await this.#folders.open({ organizationId: run.organizationId, taskId: task.id, isIsolated });
    try {
      const input = await prepare(folder.path, run);
      const output = new CommandOutput(run, command.maxOutputBytes);
      const exit = await this.#run(command, folder, input, run, output);
      await keepFiles(join(folder.path, 'out'), run);
      if (output.failure !== null) {
        throw output.failure;
      }
      if (exit.code !== 0) {
        throw new RunFailure('ExitCode', sentenceOf(exit, output.lastWarning), true);
      }
      return output.result ?? { output: await outputFile(folder.path) };
    } finally {
      await folder.release();
    }
  }

  /** Starts the program and stays until nothing of it lives, however that comes. @throws RunFailure, the signal's reason */
  async #run(
    command: Command,
    folder: WorkFolder,
    input: string,
    run: LeasedRun,
    output: CommandOutput,
  ): Promise<Exit> {
    run.signal.throwIfAborted();
    const failed = new AbortController();
    const giveUp = (reason: unknown): void => failed.abort(reason);
    const stop = AbortSignal.any([run.signal, failed.signal]);
    const group = ProcessGroup.start(command, {
      folder: folder.path,
      token: folder.token,
      secrets: secretVariables(command, run.work.secrets),
      variables: variablesOf(run, folder),
    });
    const timer = timeoutOf(command, giveUp);
    const { id } = group;
    if (id !== null) {
      this.#watchdog.add(id, folder.token);
    }
    try {
      group.tell(input);
      const reading = Promise.all([output.readOutput(group.stdout), output.readWarnings(group.stderr)]);
      reading.catch(giveUp);
      if (id !== null) {
        await folder.note(id);
      }
      const exit = await Promise.race([group.exited, abortOf(stop)]).finally(() => group.end(GRACE_MS));
      await Promise.race([reading, after(DRAIN_MS)]);
      stop.throwIfAborted();
      return exit;
    } catch (error) {
      throw stop.aborted ? stop.reason : id === null ? notStarted(error) : error;
    } finally {
      clearTimeout(timer);
      group.release();
      if (id !== null) {
        this.#watchdog.remove(id);
      }
    }
  }

  async #sweep(): Promise<void> {
    try {
      const kept = await this.#folders.kept();
      const living = new Set(await this.repository.livingTasks(kept.map(({ taskId }) => taskId)));
      for (const task of kept) {
        await this.#folders.removeUnused(task, !living.has(task.taskId), this.clock.nowMs());
      }
    } catch (error) {
      this.log.warn('folders of tasks could not be cleared up; it is tried again', { error });
    }
  }
}

/**
 * Puts what the program is told where it finds it, and clears what an earlier run left there; returns what it is told on its input, which
 * has its secrets beside that: they are never in a file.
 */
async function prepare(folder: string, run: LeasedRun): Promise<string> {
  const input = JSON.stringify(agentRunPayload(run.work));
  for (const name of ['input.json', 'prompt.txt', 'output.json', 'out']) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
  // 'wx': a name that is there all the same, as a link to elsewhere, is not written through.
  await writeFile(join(folder, 'input.json'), input, { flag: 'wx', mode: 0o600 });
  await writeFile(join(folder, 'prompt.txt'), latestUserText(run.work), { flag: 'wx', mode: 0o600 });
  await mkdir(join(folder, 'out'), { mode: 0o700 });
  return JSON.stringify({ ...agentRunPayload(run.work), secrets: run.work.secrets });
}

function variablesOf(run: LeasedRun, folder: WorkFolder): Record<string, string> {
  const { run: view, task } = run.work;
  return {
    TASKYARD_RUN_ID: view.id,
    TASKYARD_TASK_ID: task.id,
    TASKYARD_ATTEMPT: String(view.attempt),
    TASKYARD_FOLDER: folder.path,
  };
}

async function keepFiles(folder: string, run: LeasedRun): Promise<void> {
  const leaveOut = (name: string, why: string): void =>
    run.emit({ type: 'log', data: { level: 'warning', text: `Left out of the assets: ${name}, since ${why}.` } });
  for await (const file of outFiles(folder, leaveOut)) {
    await run.keep({ ...file, metadata: {} });
    await run.room();
  }
}

async function outputFile(folder: string): Promise<Record<string, unknown>> {
  try {
    const bytes = await readRegular(join(folder, 'output.json'), OUTPUT_FILE_BYTES);
    return bytes === null ? {} : outputOf(bytes);
  } catch (error) {
    if (error instanceof DomainError || error instanceof RangeError) {
      throw new RunFailure('InvalidOutput', `output.json cannot be taken: ${error.message}`, false);
    }
    throw error;
  }
}

function outputOf(bytes: Buffer): Record<string, unknown> {
  return asOutput(parseJsonBody(withoutByteOrderMark(bytes), { repairsText: true }), 'output.json');
}

function sentenceOf({ code, signal }: Exit, lastWarning: string): string {
  const how = code === null ? `was ended by ${signal ?? 'a signal'}` : `ended with exit code ${code}`;
  return lastWarning === '' ? `The program ${how}.` : `The program ${how}. Its last words: ${lastWarning}`;
}

function notStarted(error: unknown): RunFailure {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'no reason given';
  return new RunFailure('CannotStart', `The program could not be started (${code}).`, true);
}

function timeoutOf({ timeoutSeconds }: Command, giveUp: (reason: unknown) => void): NodeJS.Timeout | undefined {
  return timeoutSeconds === null
    ? undefined
    : setTimeout(
        () => giveUp(new RunFailure('TimedOut', `The program took longer than its ${timeoutSeconds} seconds.`, true)),
        timeoutSeconds * 1000,
      );
}

async function abortOf(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) {
    await once(signal, 'abort');
  }
  throw signal.reason;
}

function after(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}
