// Random event lists as plain data: what fast-check draws and shrinks. world.ts turns them into events.
import * as fc from "fast-check";
import type { AttemptOutcome } from "../../src/core/events.js";
import type { RestartOutcome } from "../../src/core/model/maintenance.js";
import type { Handling, Priority } from "../../src/core/model/request.js";

/** Numbers named `pick` choose among what there is at that moment, modulo its count. */
export type Command =
  | {
      readonly do: "submit";
      readonly priority: Priority;
      readonly model: string;
      readonly memoryMib: number;
      readonly timeoutMs: number;
      readonly gpu: string;
      readonly capability: number;
      readonly strategy: string;
      readonly type: string;
      readonly gpus: number;
      readonly preemptible?: boolean;
      readonly checkpoint?: boolean;
      readonly user?: string;
      /** Prompt and answer; of work that is measured in tokens only. */
      readonly tokens?: readonly [input: number, output: number];
      readonly firstOutputMs?: number;
      readonly totalMs?: number;
      readonly whenLate?: "demote" | "fail";
      readonly idempotent?: boolean;
      readonly handling?: Handling;
    }
  | { readonly do: "resubmit"; readonly pick: number; readonly same: boolean }
  | { readonly do: "cancel"; readonly pick: number }
  | { readonly do: "connect"; readonly node: number; readonly gpus: number; readonly runners: number; readonly held: "truth" | "nothing" | "everything" | "rubbish"; readonly instance?: string }
  | { readonly do: "disconnect"; readonly node: number; readonly silentMs?: number }
  /** The router itself stands still. */
  | { readonly do: "stall"; readonly ms: number }
  | { readonly do: "runners"; readonly node: number; readonly runners: number }
  | { readonly do: "start" | "progress" | "answer"; readonly pick: number }
  | { readonly do: "end"; readonly pick: number; readonly outcome: AttemptOutcome; readonly foreign: boolean }
  /** An agent stops what it was told to. */
  | { readonly do: "obey"; readonly pick: number }
  | { readonly do: "telemetry"; readonly node: number; readonly usedShare: number; readonly busyPercent: number; readonly temperatureCelsius: number; readonly ageMs: number }
  | { readonly do: "gpu_lost"; readonly pick: number }
  /** An operator takes a GPU or a node out, or puts it back; work there may end by itself. */
  | { readonly do: "maintain"; readonly pick: number; readonly node: boolean; readonly on: boolean }
  | { readonly do: "restart_gpu"; readonly pick: number }
  /** The agent of a GPU that is being restarted tells how it went. */
  | { readonly do: "restarted"; readonly pick: number; readonly outcome: RestartOutcome }
  | { readonly do: "tick"; readonly ms: number }
  /** The router dies and comes back: the one it goes on as, and the other beside it for comparison. */
  | { readonly do: "restart"; readonly as: "snapshot" | "replay" };

export const NODES = 3;

const pick = fc.nat({ max: 1_000 });
const node = fc.nat({ max: NODES - 1 });
const runners = fc.nat({ max: 5 });

const submit = fc.record({
  do: fc.constant("submit" as const),
  priority: fc.constantFrom<Priority>(1, 2, 3, 3, 4, 5),
  model: fc.constantFrom("a", "a", "b", "unserved"),
  memoryMib: fc.constantFrom(0, 0, 300, 500, 600, 2_000, 7_000, 14_000, 90_000),
  timeoutMs: fc.constantFrom(0, 400, 5_000, 1_000_000),
  gpu: fc.constantFrom("", "", "", "", "g0", "g3", "g99"),
  capability: fc.constantFrom(0, 0, 0, 8_010, 9_000),
  strategy: fc.constantFrom("", "least_loaded", "hybrid", "power_of_two"),
  type: fc.constantFrom("inference", "inference", "inference", "training"),
  gpus: fc.constantFrom(1, 1, 1, 1, 2, 2, 3),
  preemptible: fc.boolean(),
  checkpoint: fc.boolean(),
  user: fc.constantFrom("u", "u", "v", "w"),
  idempotent: fc.constantFrom(true, true, false),
  handling: fc.constantFrom<Handling>(
    { onInterruption: "restart", timeouts: {} },
    { onInterruption: "fail", timeouts: {} },
    { onInterruption: "restart", timeouts: { waitingMs: 3_000 } },
    { onInterruption: "restart", timeouts: { startingMs: 700, answeringMs: 1_500 } },
    { onInterruption: "fail", timeouts: { runningMs: 700 } },
    { onInterruption: "restart", timeouts: { runningMs: 49 } },
  ),
});

/** Chat, long prompts, batch work: with promises and without. */
const submitTokens = fc.record({
  do: fc.constant("submit" as const),
  priority: fc.constantFrom<Priority>(1, 1, 2, 3, 4, 5),
  model: fc.constantFrom("a", "a", "b"),
  memoryMib: fc.constant(0),
  timeoutMs: fc.constantFrom(0, 5_000, 1_000_000),
  gpu: fc.constantFrom("", "", "", "g3"),
  capability: fc.constant(0),
  strategy: fc.constantFrom("hybrid", "hybrid", "hybrid", "llm_d_like"),
  type: fc.constant("inference"),
  gpus: fc.constant(1),
  user: fc.constantFrom("u", "u", "v", "w"),
  tokens: fc.constantFrom<[number, number]>([100, 100], [100, 100], [50, 400], [4_000, 20], [15_000, 200], [300, 2_000], [10, 0]),
  firstOutputMs: fc.constantFrom(0, 0, 300, 2_000),
  totalMs: fc.constantFrom(0, 1_500, 2_500, 6_000, 60_000),
  whenLate: fc.constantFrom("demote" as const, "demote" as const, "fail" as const),
});

const commands = (arbitrary: fc.Arbitrary<Command>): fc.Arbitrary<Command> => fc.oneof(
  { weight: 12, arbitrary },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resubmit" as const), pick, same: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), pick }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("connect" as const),
      node,
      gpus: fc.nat({ max: 7 }),
      runners,
      held: fc.constantFrom("truth" as const, "truth" as const, "nothing" as const, "everything" as const, "rubbish" as const),
      instance: fc.constantFrom("instance", "instance", "instance", "another"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("disconnect" as const), node, silentMs: fc.constantFrom(0, 300, 1_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("stall" as const), ms: fc.constantFrom(300, 2_000, 60_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("runners" as const), node, runners }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("start" as const, "start" as const, "progress" as const, "answer" as const), pick }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("end" as const),
      pick,
      outcome: fc.constantFrom<AttemptOutcome>("succeeded", "succeeded", "failed", "unavailable", "unavailable", "cancelled", "fenced"),
      foreign: fc.nat({ max: 9 }).map((n) => n === 0),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("obey" as const), pick }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("telemetry" as const),
      node,
      usedShare: fc.constantFrom(0, 0.3, 0.85, 1, Number.NaN),
      busyPercent: fc.constantFrom(0, 50, 100, Number.NaN),
      temperatureCelsius: fc.constantFrom(40, 40, 82, 90, Number.NaN),
      ageMs: fc.constantFrom(0, 20, 3_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("gpu_lost" as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("maintain" as const), pick, node: fc.nat({ max: 3 }).map((n) => n === 0), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart_gpu" as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("restarted" as const), pick, outcome: fc.constantFrom<RestartOutcome>("succeeded", "failed", "refused") }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("tick" as const), ms: fc.constantFrom(0, 1, 49, 50, 700, 1_600, 5_000, 21_000, 31_000, 10_000_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), as: fc.constantFrom("snapshot" as const, "replay" as const) }) },
);

const listOf = (arbitrary: fc.Arbitrary<Command>): fc.Arbitrary<Command[]> => fc.array(commands(arbitrary), { minLength: 1, maxLength: 80, size: "max" });

/** Work of all sorts, none of it measured in tokens. */
export const plainPlan = listOf(submit);
/** The same with work that is measured in tokens and is promised something. */
export const promisePlan = listOf(fc.oneof({ weight: 1, arbitrary: submit }, { weight: 5, arbitrary: submitTokens }));

/** Requests that ask for nothing but a model, more than there is room for: only their order tells them apart. */
export const orderPlan: fc.Arbitrary<Command[]> = fc
  .array(
    fc.oneof(
      { weight: 5, arbitrary: submit.map((one) => ({ ...one, memoryMib: 0, capability: 0, gpu: "", type: "inference", gpus: 1, preemptible: false, timeoutMs: 1_000_000, model: one.model === "b" ? "b" : "a" })) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("end" as const), pick, outcome: fc.constantFrom<AttemptOutcome>("succeeded", "unavailable"), foreign: fc.constant(false) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("tick" as const), ms: fc.constantFrom(50, 700, 5_000, 21_000) }) },
    ),
    { minLength: 1, maxLength: 60, size: "max" },
  )
  .map((rest) => [{ do: "connect", node: 0, gpus: 1, runners: 0, held: "truth" }, ...rest]);

export const plan: fc.Arbitrary<Command[]> = fc.oneof({ weight: 3, arbitrary: plainPlan }, { weight: 1, arbitrary: orderPlan }, { weight: 2, arbitrary: promisePlan });

/** A small fleet that is always full of training, most of which may be stopped for others. */
export const crowded: fc.Arbitrary<Command[]> = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constant("submit" as const),
          priority: fc.constantFrom<Priority>(1, 2, 3, 4, 5),
          model: fc.constant("a"),
          memoryMib: fc.constant(0),
          timeoutMs: fc.constant(0),
          gpu: fc.constant(""),
          capability: fc.constant(0),
          strategy: fc.constant(""),
          type: fc.constantFrom("training", "training", "inference"),
          gpus: fc.constantFrom(1, 1, 2),
          preemptible: fc.constantFrom(true, true, false),
          checkpoint: fc.boolean(),
        }),
      },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("start" as const), pick }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("obey" as const), pick }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("end" as const), pick, outcome: fc.constantFrom<AttemptOutcome>("succeeded", "unavailable", "cancelled"), foreign: fc.constant(false) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("tick" as const), ms: fc.constantFrom(50, 700, 1_600, 5_000) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), as: fc.constantFrom("snapshot" as const, "replay" as const) }) },
      { weight: 2, arbitrary: connect(2) },
    ),
    { minLength: 1, maxLength: 60, size: "max" },
  )
  .map((rest) => [{ do: "connect", node: 0, gpus: 3, runners: 0, held: "nothing" }, { do: "connect", node: 1, gpus: 1, runners: 0, held: "nothing" }, ...rest]);

/** The nodes of the small fleet come back as they were. */
function connect(nodes: number): fc.Arbitrary<Command> {
  return fc.nat({ max: nodes - 1 }).map((which) => ({ do: "connect", node: which, gpus: which === 0 ? 3 : 1, runners: 0, held: "truth" }));
}
