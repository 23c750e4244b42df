import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { HYBRID } from "../../../src/sim/policies.js";
import { scenarioNamed } from "../../../src/sim/scenarios.js";
import { NO_FAULTS } from "../../../src/sim/faults.js";
import { PoolClosed, TrialPool } from "../../../src/sim/trial-pool.js";
import type { Trial } from "../../../src/sim/trial.js";
import { TraceError } from "../../../src/sim/workload/trace-error.js";

// Sources are not compiled here, so the threads run a stand-in that answers with the seed; the real ones are run by test/docs.
const STAND_IN = `
import { parentPort } from "node:worker_threads";
parentPort.on("message", ({ seed }) => {
  if (seed === 13) return parentPort.postMessage({ kind: "error", message: "no trace", foreseen: true });
  if (seed === 14) throw new Error("the thread died");
  if (seed === 99) return; // Never answers.
  parentPort.postMessage({ kind: "progress", share: 0.5 });
  parentPort.postMessage({ kind: "result", result: { outcome: "no_room", message: String(seed) } });
});
`;

const scenario = scenarioNamed("synthetic-main");
function trial(seed: number, name = "synthetic-main"): Trial {
  if (!scenario) throw new Error("no scenario");
  return {
    world: { scenario: scenarioNamed(name) ?? scenario, traces: null, fleet: null, load: 0.5, scaling: "superpose", durationMs: 2000 },
    policy: HYBRID,
    seed,
    conditions: { faults: NO_FAULTS, override: { settings: {}, hybrid: {} }, prefixCacheTokens: null },
    keepRun: false,
  };
}

let directory = "";
let standIn: URL;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "gpu-router-pool-"));
  const file = path.join(directory, "worker.mjs");
  writeFileSync(file, STAND_IN);
  standIn = pathToFileURL(file);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("a pool of threads", () => {
  test("answers each trial with its own result, however many there are", async () => {
    const pool = new TrialPool(2, standIn);
    const results = await Promise.all(Array.from({ length: 8 }, (_, seed) => pool.run(trial(seed))));
    expect(results.map((result) => result.outcome === "no_room" && result.message)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
    expect(pool.progress()).toEqual({ done: 8, waiting: 0, running: [] });
    await pool.close();
  });

  test("passes on what went wrong, and goes on with the next, also after a thread died", async () => {
    const pool = new TrialPool(1, standIn);
    const [missing, died, fine] = await Promise.allSettled([pool.run(trial(13)), pool.run(trial(14)), pool.run(trial(1))]);
    expect(missing).toMatchObject({ status: "rejected", reason: expect.any(TraceError) });
    expect(died).toMatchObject({ status: "rejected", reason: expect.objectContaining({ message: "the thread died" }) });
    expect(fine).toMatchObject({ status: "fulfilled" });
    await pool.close();
  });

  test("when it is closed, what runs and what waits is rejected", async () => {
    const pool = new TrialPool(1, standIn);
    const open = [pool.run(trial(99)), pool.run(trial(1))].map((each) => each.catch((error: unknown) => error));
    await pool.close();
    expect(await Promise.all(open)).toEqual([expect.any(PoolClosed), expect.any(PoolClosed)]);
    await expect(pool.run(trial(1))).rejects.toBeInstanceOf(PoolClosed);
  });
});

describe("a pool without threads", () => {
  test("runs real trials in this one, one after the other", async () => {
    const pool = new TrialPool(0);
    const [one, same] = await Promise.all([pool.run(trial(1)), pool.run(trial(1))]);
    const figures = (result: typeof one): unknown => result?.outcome === "measured" && { ...result.measures, wallMs: 0 };
    expect(figures(one)).toMatchObject({ policy: "hybrid", load: 0.5 });
    expect(figures(one)).toEqual(figures(same));
    await pool.close();
  });

  test("a missing trace is an error for people", async () => {
    const pool = new TrialPool(0);
    await expect(pool.run(trial(1, "main"))).rejects.toThrow(/--traces DIR/);
    await pool.close();
  });
});
