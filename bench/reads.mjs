// Hot reads beside the bare limit: `GET /v1/task` and `GET /api/v1/tasks/{id}`, and the two other surfaces' single reads.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BENCH_KEY, ROOT_KEY, interleave, options, startDatabase, startProcess } from './harness.mjs';
import { seed } from './rows.mjs';

const database = await startDatabase();
const environment = {
  DATABASE_URL: database.url,
  DATA_DIR: database.folder,
  ROOT_KEY,
  BOOTSTRAP_API_KEY: BENCH_KEY,
  PORT: '0',
  ROLE: 'api',
  LOG_LEVEL: 'warn',
};

/** The statements our server sends for these reads, taken from a running one. */
async function recordStatements(paths) {
  const { startRecorder } = await import('./recorder.ts');
  const recorder = await startRecorder(environment);
  try {
    const { taskId } = await seed(database.url, options.tasks);
    const recorded = [];
    for (const path of paths(taskId)) {
      recorded.push({ path, ...(await recorder.statementOf(path, BENCH_KEY)) });
    }
    return recorded;
  } finally {
    await recorder.stop();
  }
}

const recorded = await recordStatements((id) => [
  '/v1/task',
  `/api/v1/tasks/${id}`,
  `/api/tasks?id=${id}`,
  `/api/v1/task/${id}`,
]);
const file = join(database.folder, 'statements.json');
await writeFile(file, JSON.stringify({ url: database.url, statements: recorded }));

const bare = await startProcess('node', ['bench/bare.mjs', file], {});
const ours = await startProcess('node', ['dist/src/main.js'], environment);
try {
  console.log(
    `${options.tasks} tasks, ${options.connections} connections, ${options.rounds} rounds of ${options.seconds} s`,
  );
  for (const [index, { path }] of recorded.entries()) {
    const rows = await interleave([
      { name: `bare   ${path}`, url: `${bare.url}/${index}` },
      { name: `ours   ${path}`, url: `${ours.url}${path}`, headers: { 'x-api-key': BENCH_KEY } },
    ]);
    console.table(rows);
  }
} finally {
  await ours.stop();
  await bare.stop();
  await database.stop();
}
