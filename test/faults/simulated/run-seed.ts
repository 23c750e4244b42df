// One seed from beginning to end, and what came of it.
import { Draw } from "./draw.js";
import { planOf } from "./plan.js";
import { Trace } from "./trace.js";
import { virtualGlobals } from "./virtual-globals.js";
import { Violation } from "./violation.js";
import { VirtualTime } from "./virtual-time.js";
import { World } from "./world.js";

export interface SeedOptions {
  readonly seed: number;
  /** Only these faults, all of them; null for those that the seed draws. */
  readonly faults: readonly string[] | null;
  /** Lines of the trace to keep; 0 for none, which is faster. */
  readonly traceLines: number;
}

export interface SeedOutcome {
  readonly seed: number;
  /** The faults that were asked for; null when the seed drew them. */
  readonly given: readonly string[] | null;
  readonly faults: readonly string[];
  /** null when every invariant held. */
  readonly violation: { readonly invariant: string; readonly detail: string; readonly atMs: number } | null;
  readonly trace: readonly string[];
  readonly virtualMs: number;
  /** Events of the simulation. */
  readonly events: number;
  readonly engineSteps: number;
  readonly requests: number;
  /** Attempts that began to run. */
  readonly attempts: number;
  /** How often what came about. */
  readonly happened: Readonly<Record<string, number>>;
}

/** One at a time in a process: it takes over the globals of time. Never rejects. */
export async function runSeed({ seed, faults, traceLines }: SeedOptions): Promise<SeedOutcome> {
  const draw = new Draw(`seed ${seed}`);
  const plan = planOf(draw.of("plan"), faults);
  const time = new VirtualTime();
  const trace = new Trace(traceLines);
  const restore = virtualGlobals(time, draw.of("Math.random").next);
  let violation: SeedOutcome["violation"] = null;
  // A promise that nobody waits for fails as an exception does.
  const rejected: unknown[] = [];
  const onRejection = (reason: unknown): void => void rejected.push(reason);
  process.on("unhandledRejection", onRejection);
  const world = new World(plan, draw, time, trace);
  try {
    await world.live();
  } catch (error) {
    violation = violationOf(error, time.nowMs);
  } finally {
    time.current = null;
    restore();
    process.off("unhandledRejection", onRejection);
  }
  if (!violation && rejected.length > 0) violation = violationOf(rejected[0], time.nowMs);
  return {
    seed,
    given: faults,
    faults: [...plan.faults],
    violation,
    trace: trace.lines,
    virtualMs: time.nowMs,
    events: time.events,
    engineSteps: world.engineSteps,
    requests: plan.requests,
    attempts: world.executions.begun,
    happened: Object.fromEntries(world.happened),
  };
}

function violationOf(error: unknown, atMs: number): NonNullable<SeedOutcome["violation"]> {
  if (error instanceof Violation) return { invariant: error.invariant, detail: error.message, atMs };
  return { invariant: "nothingThrows", detail: error instanceof Error ? (error.stack ?? error.message) : String(error), atMs };
}
