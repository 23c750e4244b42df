// Conversations in the simulation that name their session and not their prompts: with affinity their turns find what was read before.
import { expect, test } from "@jest/globals";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { seededRandom } from "../../../src/lib/random.js";
import { figuresOf } from "../../../src/sim/figures.js";
import { simpleFleet } from "../../../src/sim/fleets.js";
import { fluidDemands } from "../../../src/sim/fluid-bound.js";
import { measure } from "../../../src/sim/measure.js";
import { NO_FAULTS } from "../../../src/sim/faults.js";
import { simulate } from "../../../src/sim/simulation.js";
import type { Arrival, Tenant, Workload } from "../../../src/sim/workload/arrival.js";

const MODEL = "llama-3.1-8b";
const TENANTS: readonly Tenant[] = ["ann", "bob"].map((name) => ({ name, modelId: MODEL, type: "inference", priority: 3, slo: { firstOutputMs: 2_000, totalFactor: 2.5, totalFloorMs: 2_000 } }));
const SESSIONS = 60;
const TURNS = 6;
const DURATION_MS = 240_000;

/** Each turn brings what was said before. Both tenants have sessions of the same names. */
function conversations(): Arrival[] {
  const random = seededRandom(3);
  const arrivals: Arrival[] = [];
  for (let session = 0; session < SESSIONS; session += 1) {
    let atMs = random() * 60_000;
    let contextTokens = 1_000 + Math.floor(random() * 3_000);
    for (let turn = 0; turn < TURNS; turn += 1) {
      const outputTokens = 50 + Math.floor(random() * 300);
      arrivals.push({ atMs, tenant: session % 2, inputTokens: contextTokens, outputTokens, prefixHashes: [], sessionKey: `chat-${session >> 1}`, gpus: 1, workMs: 0 });
      contextTokens += outputTokens + 20 + Math.floor(random() * 400);
      atMs += 12_000 + random() * 20_000;
    }
  }
  return arrivals.sort((a, b) => a.atMs - b.atMs);
}

const ARRIVALS = conversations();
const workload: Workload = { tenants: TENANTS, durationMs: DURATION_MS, arrivals: () => ARRIVALS };

function cachedShare(affinity: boolean): { readonly cached: number; readonly skew: number; readonly kept: number } {
  const settings = { ...DEFAULT_CORE_SETTINGS, maxConcurrentTasksPerGpu: 256, memoryThreshold: 1, hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, affinity } };
  const run = simulate({
    policy: "test",
    scenario: "test",
    load: 1,
    seed: 1,
    settings,
    fleet: simpleFleet([{ kind: "A100-80GB", gpus: 1, nodes: 4 }]),
    workload,
    loaded: Array.from({ length: 4 }, () => [MODEL]),
    types: Array.from({ length: 4 }, () => []),
    models: [MODEL],
    modelLoadSpeed: 1,
    prefixCacheTokens: null,
    faults: NO_FAULTS,
    drainMs: 120_000,
    tellLengths: false,
  });
  const figures = figuresOf(measure(run, DURATION_MS));
  return { cached: figures.cachedBlockShare ?? 0, skew: figures.loadSkew, kept: figures.attainment ?? 0 };
}

test("turns of a session find most of their prompt where the last one ran, and the load stays even", () => {
  const without = cachedShare(false);
  const affine = cachedShare(true);
  // Chance alone finds a GPU of four where an earlier turn ran; 0.34 and 0.72 here.
  expect(affine.cached).toBeGreaterThan(2 * without.cached);
  expect(affine.skew).toBeLessThan(1.3);
  expect(affine.kept).toBeGreaterThanOrEqual(without.kept);
});

test("the fluid bound knows that a session's context need not be read twice", () => {
  const demandOf = (arrivals: readonly Arrival[]): number => fluidDemands({ ...workload, arrivals: () => arrivals }, 1).get(MODEL)!.newTokens;
  expect(demandOf(ARRIVALS)).toBeLessThan(0.5 * demandOf(ARRIVALS.map((arrival) => ({ ...arrival, sessionKey: "" }))));
});
