// A production to be recorded: a simulated one, whose engine is listened to as a router's is. What the recording says of it can then be
// held against what the simulation says of itself.
import path from "node:path";
import { jest } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import type { Event, Step } from "../../../../src/core/events.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../../src/core/settings.js";
import { Recorder } from "../../../../src/recording/recorder.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { simpleFleet, type NodeGroup } from "../../../../src/sim/fleets.js";
import type { SimulatedRun } from "../../../../src/sim/result.js";
import { NO_FAULTS } from "../../../../src/sim/faults.js";
import { simulate } from "../../../../src/sim/simulation.js";
import type { Arrival, Tenant } from "../../../../src/sim/workload/arrival.js";
import { keptLog } from "../../recording/recorded-file.js";

export const PRODUCTION_GPUS: readonly NodeGroup[] = [{ kind: "A100-80GB", gpus: 2, nodes: 1 }, { kind: "L40S", gpus: 2, nodes: 1 }];

const TENANTS: readonly Tenant[] = [
  { name: "chat", modelId: "llama-3.1-8b", type: "inference", priority: 4, slo: { firstOutputMs: 1_000, totalFloorMs: 9_000, totalFactor: 0 } },
  { name: "reports", modelId: "mistral-7b", type: "batch", priority: 1, slo: null },
  { name: "jobs", modelId: "training", type: "training", priority: 1, slo: null },
];

export interface Production {
  readonly file: string;
  /** As the simulation itself tells it. */
  readonly run: SimulatedRun;
  readonly settings: CoreSettings;
}

/** Records `requests` requests, four a second, into a file of `folder`. */
export async function recordedProduction(folder: string, requests = 400): Promise<Production> {
  const settings: CoreSettings = { ...DEFAULT_CORE_SETTINGS, strategy: "least_loaded", memoryThreshold: 1, utilizationThreshold: 1.1, maxConcurrentTasksPerGpu: 6, exclusiveTypes: [] };
  const file = path.join(folder, "production.rec");
  const recorder = await Recorder.open({ file, maxBytes: 1 << 30, hashUsers: false, settings, version: "test", log: keptLog().log });
  if (!recorder) throw new Error("the recorder did not open");
  recorder.recovered(null);
  let digest = (): number => 0;
  const step = Reflect.get(Engine.prototype, "step") as (this: Engine, event: Event, nowMs: number) => Step;
  const spy = jest.spyOn(Engine.prototype, "step").mockImplementation(function (this: Engine, event: Event, nowMs: number): Step {
    digest = () => this.state.digest();
    const made = step.call(this, event, nowMs);
    recorder.stepped(event, nowMs, made.records);
    return made;
  });
  try {
    const run = simulate({
      policy: "production",
      scenario: "test",
      load: 1,
      seed: 1,
      settings,
      fleet: simpleFleet(PRODUCTION_GPUS),
      workload: { tenants: TENANTS, durationMs: requests * 250, arrivals: () => arrivals(requests) },
      loaded: [["llama-3.1-8b"], ["llama-3.1-8b", "mistral-7b"], ["mistral-7b"], ["llama-3.1-8b"]],
      types: [[], [], [], []],
      models: ["llama-3.1-8b", "mistral-7b"],
      modelLoadSpeed: 1,
      prefixCacheTokens: null,
      faults: NO_FAULTS,
      drainMs: 60_000,
      tellLengths: false,
    });
    await recorder.close(digest());
    return { file, run, settings };
  } finally {
    spy.mockRestore();
  }
}

function arrivals(count: number): Arrival[] {
  const random = seededRandom(11);
  return Array.from({ length: count }, (_, index): Arrival => {
    const lot = random();
    const common = { atMs: index * 250 + Math.floor(random() * 200), prefixHashes: [], sessionKey: "", gpus: 1 };
    if (lot > 0.97) return { ...common, tenant: 2, inputTokens: 0, outputTokens: 0, workMs: 2_000 };
    const work = { inputTokens: 100 + Math.floor(random() * 2_000), outputTokens: 20 + Math.floor(random() * 200), workMs: 0 };
    // Some answers have no tokens, as embeddings do.
    return { ...common, tenant: lot > 0.7 ? 1 : 0, ...work, ...(lot < 0.05 && { outputTokens: 0 }) };
  });
}
