// Clocks, timers and chance of the production code, while a simulated process runs it: virtual time in the place of Node's globals.
// So what runs in the simulation is the very code that runs in production, and no part of it can forget to be simulated.
// Outside of simulated processes the globals do what they always do.
import type { Scheduled, VirtualTime } from "./virtual-time.js";

/** When virtual time begins, UTC ms. */
export const EPOCH_MS = 1_800_000_000_000;

/** A timer as Node gives it. */
interface Timer {
  scheduled: Scheduled;
  unref(): Timer;
  ref(): Timer;
}

/** Puts virtual time in; returns how to take it out again. One at a time. `random` gives numbers in [0, 1). */
export function virtualGlobals(time: VirtualTime, random: () => number): () => void {
  const names = ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate", "clearImmediate", "performance"] as const;
  const real = new Map(names.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, performance } = globalThis;
  const { now: dateNow } = Date;
  const { random: mathRandom } = Math;

  const start = (run: () => void, delayMs: number, again: boolean): Timer => {
    const owner = time.current;
    const virtualMs = (Number.isFinite(delayMs) ? Math.max(1, delayMs) : 1) / (owner?.clockRate ?? 1);
    const fire = (): void => {
      if (again) timer.scheduled = time.after(virtualMs, owner, fire, true);
      run();
    };
    const timer: Timer = { scheduled: time.after(virtualMs, owner, fire, true), unref: () => timer, ref: () => timer };
    return timer;
  };
  /** False when it is none of ours. */
  const stop = (timer: unknown): boolean => {
    if (typeof timer !== "object" || timer === null || !("scheduled" in timer)) return false;
    (timer as Timer).scheduled.cancelled = true;
    return true;
  };
  const monotonicMs = (): number => time.nowMs * (time.current?.clockRate ?? 1);
  const virtual = {
    setTimeout: (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]) => (time.current ? start(() => run(...args), delayMs, false) : setTimeout(run, delayMs, ...args)),
    setInterval: (run: (...args: unknown[]) => void, delayMs = 0, ...args: unknown[]) => (time.current ? start(() => run(...args), delayMs, true) : setInterval(run, delayMs, ...args)),
    setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) =>
      time.current ? { scheduled: time.after(0, time.current, () => run(...args)), unref: () => {}, ref: () => {} } : setImmediate(run, ...args),
    clearTimeout: (timer: NodeJS.Timeout) => void (stop(timer) || clearTimeout(timer)),
    clearInterval: (timer: NodeJS.Timeout) => void (stop(timer) || clearInterval(timer)),
    clearImmediate: (immediate: NodeJS.Immediate) => void (stop(immediate) || clearImmediate(immediate)),
    performance: { now: () => (time.current ? monotonicMs() : performance.now()), timeOrigin: performance.timeOrigin },
  };
  for (const name of names) Object.defineProperty(globalThis, name, { value: virtual[name], configurable: true, writable: true });
  Date.now = () => (time.current ? Math.floor(EPOCH_MS + monotonicMs() + time.current.wallOffsetMs) : dateNow());
  Math.random = () => (time.current ? random() : mathRandom());
  return () => {
    for (const name of names) Object.defineProperty(globalThis, name, real.get(name) ?? {});
    Date.now = dateNow;
    Math.random = mathRandom;
  };
}
