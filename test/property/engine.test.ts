// The engine under random event lists: whatever happens in whatever order, what must hold holds after every step.
// Repeat a failure: GPU_ROUTER_PROPERTY_SEED=<seed> npm test -- test/property. Then add the shrunk plan to failing-plans.json.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { DEFAULT_CORE_SETTINGS } from "../../src/core/settings.js";
import { crowded, orderPlan, plan, promisePlan, type Command } from "./plan.js";
import { runPlan, type Mutant } from "./world.js";

const given = Number(process.env["GPU_ROUTER_PROPERTY_SEED"]);
const seed = Number.isInteger(given) && given !== 0 ? given : Date.now() % 0x7fffffff;
const runs = Number(process.env["GPU_ROUTER_PROPERTY_RUNS"] ?? 150);

/** Plans that failed once, shrunk. They run first. As plans and not as seeds, so that they outlive a change of what is drawn. */
const failedOnce = JSON.parse(readFileSync(new URL("failing-plans.json", import.meta.url), "utf8")) as readonly {
  readonly found: string;
  readonly plan: readonly Command[];
}[];

const holds = fc.property(plan, (commands) => void runPlan(commands));
const holdsInACrowd = fc.property(crowded, (commands) => void runPlan(commands));

describe("after any event list", () => {
  test.each(failedOnce)("what was found once holds: $found", ({ plan: found }) => {
    runPlan(found);
  });

  test(`everything holds, and in the end every request has ended (GPU_ROUTER_PROPERTY_SEED=${seed}, ${runs} runs)`, () => {
    fc.assert(holds, { seed, numRuns: runs });
  }, 120_000);

  test("everything holds in a fleet full of training", () => {
    fc.assert(holdsInACrowd, { seed, numRuns: runs });
  }, 120_000);
});

test("the plans reach every kind of record, every outcome of a submit and late results", () => {
  const reached = new Map<string, number>();
  for (const commands of [...fc.sample(plan, { seed: 1, numRuns: 120 }), ...fc.sample(crowded, { seed: 1, numRuns: 60 })]) {
    for (const [what, count] of runPlan(commands)) reached.set(what, (reached.get(what) ?? 0) + count);
  }
  const life = ["accepted", "placed", "started", "stop_requested", "answered", "attempt_failed", "ended"];
  const operations = ["maintenance_set", "gpu_restart_requested", "gpu_restart_ordered", "gpu_restart_ended"];
  const records = ["epoch_started", "gpu_registered", "gpu_retired", ...life, ...operations];
  const submits = ["submit accepted", "submit known", "submit id_conflict", "submit queue_full"];
  const errors = ["error timeout", "error retries_exhausted", "error failed_code", "error too_late", "error waiting_timeout", "error running_timeout", "error truncated"];
  const scheduling = ["placed with a promise", "placed beside a promise", "placed late", "waits with a wish", "order_model"];
  for (const what of [...records, ...submits, ...errors, ...scheduling, "late result", "preempted"]) expect([what, (reached.get(what) ?? 0) > 0]).toEqual([what, true]);
});

const { hybrid } = DEFAULT_CORE_SETTINGS;

describe("the checks can fail: they catch an engine that", () => {
  test.each<[string, string, Mutant, typeof plan?]>([
    ["forgets to release", "the ledger counts what is placed|exactly the placed requests hold|only live requests wait or hold", {
      onEngine: ({ state }) => {
        state.release = () => undefined;
      },
    }],
    ["dispatches twice", "each placement is dispatched once", {
      onStep: (step) => ({ ...step, effects: [...step.effects, ...step.effects.filter((effect) => effect.kind === "dispatch")] }),
    }],
    ["believes superseded attempts", "any other changes nothing|every result is acknowledged", {
      onEvent: (event, { state }) => {
        if (event.kind !== "attempt_ended") return event;
        const request = state.requests.get(event.ref.requestId);
        return request?.nodeId ? { ...event, nodeId: request.nodeId, ref: { ...event.ref, attempt: request.attempt } } : event;
      },
    }],
    ["does not notice freed GPUs", "waits though|can be served and must have ended", {
      onEngine: ({ state }) => {
        state.fleet.freed.add = () => state.fleet.freed;
      },
    }],
    ["fills one slot too many", "no GPU is above its slots", { settings: { maxConcurrentTasksPerGpu: 3 } }],
    ["shares what is to be had alone", "shares it with nobody", { settings: { exclusiveTypes: [] } }],
    ["releases one GPU of several", "the ledger counts what is placed", {
      onEngine: ({ state }) => {
        const { fleet } = state;
        const release = fleet.release.bind(fleet);
        fleet.release = (gpu, memoryMib, hadStarted, exclusive) => {
          const pair = [...state.requests.values()].some(({ gpuIds }) => gpuIds && fleet.indexOf(gpuIds[1]!) === gpu);
          if (!pair) release(gpu, memoryMib, hadStarted, exclusive);
        };
      },
    }],
    ["journals no starts", "a standby has the same", { onJournal: (records) => records.filter((record) => record.kind !== "started") }],
    ["sends work to what is taken out", "nothing is sent to what an operator has taken out", {
      onEngine: ({ state: { fleet } }) => {
        fleet.maintenance.has = () => false;
      },
    }],
    ["forgets maintenance in snapshots", "a snapshot restores the same state|of the state it was taken of|the state it was taken of", {
      onSnapshot: (snapshot) => ({ ...snapshot, maintenance: { windows: [], restarts: [] } }),
    }],
    ["forgets reservations in snapshots", "a snapshot restores the same state", {
      onSnapshot: (snapshot) => ({ ...snapshot, requests: snapshot.requests.map((live) => ({ ...live, reservedMib: 0 })) }),
    }],
    ["stops work before it has had its time", "has its time", { settings: { preemption: { enabled: true, priorityGap: 2, minRunMs: 0, nodeIntervalMs: 0, patienceMs: 0 } } }, crowded],
    ["stops work for what is hardly more urgent", "for somebody more urgent", { settings: { preemption: { enabled: true, priorityGap: 1, minRunMs: 4_000, nodeIntervalMs: 0, patienceMs: 0 } } }, crowded],
    ["never wakes a retry", "can be served and must have ended", {
      onEngine: ({ state }) => {
        state.retryDue = () => undefined;
      },
    }],
    ["gives up too early what must not run twice", "given up when its agent has stopped it", { settings: { fencedAfterMs: 1_000 } }],
    ["believes another process about what must not run twice", "given up when its agent has stopped it", {
      onEvent: (event) => (event.kind === "node_connected" ? { ...event, instanceId: "instance" } : event),
    }],
    ["turns priorities round", "comes before .*, which was placed", {
      onEngine: ({ state: { queue } }) => {
        queue.bandOf = ({ spec }) => 6 - spec.priority;
      },
    }, orderPlan],
    ["lets nobody pass who has waited too long", "comes before .*, which was placed", { settings: { maxWaitMs: Number.POSITIVE_INFINITY } }, orderPlan],
    ["breaks the promises of those that run", "was pushed over its deadline", { settings: { hybrid: { ...hybrid, protectRunning: false } } }, promisePlan],
    ["does not look again when time has healed", "waits though a GPU could keep all promises|cannot be in time any more", {
      onEngine: ({ state: { queue } }) => {
        queue.standings.reopenHealing = () => undefined;
      },
    }, promisePlan],
    ["waits for promises that cannot be kept", "cannot be in time any more", { settings: { hybrid: { ...hybrid, lateExit: false } } }, promisePlan],
    ["leaves its work in the ledger", "the work ledger holds what is placed", {
      onEngine: ({ state: { fleet } }) => {
        fleet.work.release = () => undefined;
      },
    }, promisePlan],
  ])("%s", (_, expected, mutant, of = plan) => {
    const result = fc.check(fc.property(of, (commands) => void runPlan(commands, mutant)), { seed, numRuns: 1_000, endOnFailure: true });
    expect(result.failed).toBe(true);
    expect(String(result.errorInstance)).toMatch(new RegExp(expected));
  });
});
