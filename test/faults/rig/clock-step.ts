/**
 * Loaded into a server before anything else: lets whoever started it step this process's clock while it runs, as an operator or a bad
 * time server would. `Date` is moved; timers and `performance` are not, as the kernel's monotonic clock is not either.
 */
export interface ClockStep {
  offsetMs: number;
  /** The clock stands still. */
  isFrozen: boolean;
}

const RealDate = Date;
let offsetMs = 0;
let frozenAtMs: number | null = null;

const nowMs = (): number => (frozenAtMs ?? RealDate.now()) + offsetMs;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, newTarget) =>
    Reflect.construct(target, given.length === 0 ? [nowMs()] : given, newTarget) as object,
  apply: () => new RealDate(nowMs()).toString(),
  get: (target, name, receiver) => (name === 'now' ? nowMs : (Reflect.get(target, name, receiver) as unknown)),
});

process.on('message', (step: ClockStep) => {
  offsetMs = step.offsetMs;
  frozenAtMs = step.isFrozen ? RealDate.now() : null;
  process.send?.({ nowMs: Date.now() });
});
