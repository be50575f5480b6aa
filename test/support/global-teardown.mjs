import { rm } from 'node:fs/promises';

export default async function globalTeardown() {
  await globalThis.__taskyardTemplate?.stop();
  await rm(process.env.TEST_FOLDER ?? '', { recursive: true, force: true });
}
