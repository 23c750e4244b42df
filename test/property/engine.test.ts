// The engine under random event lists: whatever happens in whatever order, what must hold holds after every step.
// Repeat a failure: GPU_ROUTER_PROPERTY_SEED=<seed> npm test -- test/property. Then add its seed and path to failing-seeds.json.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { plan } from "./plan.js";
import { runPlan, type Mutant } from "./world.js";

const given = Number(process.env["GPU_ROUTER_PROPERTY_SEED"]);
const seed = Number.isInteger(given) && given !== 0 ? given : Date.now() % 0x7fffffff;
const runs = Number(process.env["GPU_ROUTER_PROPERTY_RUNS"] ?? 250);

/** Seeds that failed once, with the way to the shrunk case. They run first. */
const failedOnce = JSON.parse(readFileSync(new URL("failing-seeds.json", import.meta.url), "utf8")) as readonly {
  readonly seed: number;
  readonly path: string;
  readonly found: string;
}[];

const holds = fc.property(plan, (commands) => runPlan(commands));

describe("after any event list", () => {
  test("the seeds that failed once hold", () => {
    for (const { seed: failed, path } of failedOnce) fc.assert(holds, { seed: failed, path, endOnFailure: true });
  });

  test(`everything holds, and in the end every request has ended (GPU_ROUTER_PROPERTY_SEED=${seed}, ${runs} runs)`, () => {
    fc.assert(holds, { seed, numRuns: runs });
  }, 120_000);
});

describe("the checks can fail: they catch an engine that", () => {
  test.each<[string, string, Mutant]>([
    ["forgets to release", "the ledger counts what is placed|exactly the placed requests", { onEngine: ({ state }) => { state.release = () => undefined; } }],
    ["dispatches twice", "each placement is dispatched once", { onStep: (step) => ({ ...step, effects: step.effects.flatMap((effect) => (effect.kind === "dispatch" ? [effect, effect] : [effect])) }) }],
    ["believes superseded attempts", "any other changes nothing", {
      onEvent: (event, { state }) => {
        if (event.kind !== "attempt_ended") return event;
        const request = state.requests.get(event.ref.requestId);
        return request?.nodeId ? { ...event, nodeId: request.nodeId, ref: { ...event.ref, attempt: request.attempt } } : event;
      },
    }],
    ["does not notice freed GPUs", "waits though", { onEngine: ({ state }) => { state.fleet.freed.add = () => state.fleet.freed; } }],
    ["fills one slot too many", "no GPU is above its slots", { settings: { maxConcurrentTasksPerGpu: 3 } }],
    ["journals no starts", "a standby has the same", { onJournal: (records) => records.filter((record) => record.kind !== "started") }],
    ["forgets reservations in snapshots", "a snapshot restores the same state", {
      onSnapshot: (snapshot) => ({ ...snapshot, requests: snapshot.requests.map((live) => ({ ...live, reservedMib: 0 })) }),
    }],
    ["forgets deadlines", "every request can be served|must have ended|the same", { onEngine: ({ state }) => { state.retries.schedule = () => undefined; } }],
  ])("%s", (_, expected, mutant) => {
    const result = fc.check(fc.property(plan, (commands) => runPlan(commands, mutant)), { seed, numRuns: 300 });
    expect(result.failed).toBe(true);
    expect(String(result.errorInstance)).toMatch(new RegExp(expected));
  });
});
