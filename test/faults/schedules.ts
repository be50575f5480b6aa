/** Schedules that fast-check draws and replays: `FAULTS_SCHEDULES` says how many, `FAULTS_SEED` which. */
import fc from 'fast-check';

export const SCHEDULES = Number(process.env['FAULTS_SCHEDULES'] ?? 500);
const SEED = process.env['FAULTS_SEED'];
export const PATIENCE_MS = 120_000 + SCHEDULES * 500;

/** The steps of one actor, in their order. */
export interface Hand<Step> {
  name: string;
  steps: readonly Step[];
}

/** Lets the scheduler interleave the hands; `wait` false lets a hand's step run while others begin theirs. */
export async function deal<Step extends { what: string }>(
  scheduler: fc.Scheduler,
  dealt: readonly Hand<Step>[],
  wait: boolean,
  perform: (step: Step) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const underWay: Promise<void>[] = [];
  for (const hand of dealt) {
    let before: Promise<void> = Promise.resolve();
    scheduler.scheduleSequence(
      hand.steps.map((step) => ({
        label: `${hand.name}: ${step.what}`,
        builder: async () => {
          await before;
          before = perform(step).catch((error: unknown) => void failures.push(error));
          underWay.push(before);
          if (wait) {
            await before;
          }
        },
      })),
    );
  }
  await scheduler.waitIdle();
  await Promise.all(underWay);
  if (failures.length > 0) {
    throw failures[0];
  }
}

/** As many draws as asked for, or the failure; running out of time is one. */
export async function check<Values>(property: fc.IAsyncProperty<Values>, numRuns: number): Promise<void> {
  await fc.assert(property, {
    numRuns,
    ...(SEED === undefined ? {} : { seed: Number(SEED) }),
    interruptAfterTimeLimit: PATIENCE_MS - 30_000,
    markInterruptAsFailure: true,
  });
}
