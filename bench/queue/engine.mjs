// Our engine alone: the services in this process, no HTTP.
import { register } from 'node:module';
import { serve, inSlices, untilDone } from './variant.mjs';

register('../../test/support/typescript-hooks.mjs', import.meta.url);
const { startEngine } = await import('./engine.ts');
const engine = await startEngine(process.env);

serve({
  create: (jobs, mode) =>
    inSlices(jobs, mode, (count) => (count === 1 && mode.batch === 1 ? engine.createOne() : engine.createBatch(count))),
  work: (jobs, mode) => untilDone(jobs, mode, () => engine.work(mode.batch)),
  explain: (jobs) => engine.explain(jobs),
  close: () => engine.stop(),
});
