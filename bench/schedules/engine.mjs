import { register } from 'node:module';

register('../../test/support/typescript-hooks.mjs', import.meta.url);
const { startEngine } = await import('./engine.ts');
const engine = await startEngine(process.env);

process.on('message', async (deed) => {
  if (deed === 'watch') {
    engine.watch();
    process.send({ watching: true });
  } else if (deed === 'seen') {
    process.send(engine.seen());
  } else {
    await engine.stop();
    process.exit(0);
  }
});
process.send({ ready: true });
