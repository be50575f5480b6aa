// A server process that fires schedules, watched from inside: its event loop, its memory, its processor time.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { NestFactory } from '@nestjs/core';
import { AppModule } from '../../src/app.module.js';
import { loadConfig } from '../../src/config/app-config.js';
import { createPino, PinoLog } from '../../src/http/pino-log.js';

export async function startEngine(environment: NodeJS.ProcessEnv) {
  const config = loadConfig(environment);
  const log = new PinoLog(createPino(config.logLevel));
  const app = await NestFactory.createApplicationContext(AppModule.with(config, log), { logger: log });
  const loop = monitorEventLoopDelay({ resolution: 5 });
  let peakBytes = 0;
  let cpu = process.cpuUsage();
  const sampling = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  }, 20);
  return {
    watch() {
      peakBytes = 0;
      cpu = process.cpuUsage();
      loop.reset();
      loop.enable();
    },
    seen() {
      const used = process.cpuUsage(cpu);
      // The sampling itself waits for the resolution; what is longer is a stall.
      return {
        stallMs: Math.max(0, loop.max / 1e6 - 5),
        peakMib: peakBytes / 1024 / 1024,
        cpuMs: (used.user + used.system) / 1000,
      };
    },
    async stop() {
      clearInterval(sampling);
      loop.disable();
      await app.close();
    },
  };
}
