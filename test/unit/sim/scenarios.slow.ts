import { describe, expect, test } from "@jest/globals";
import { tmpdir } from "node:os";
import path from "node:path";

import { plannedFleet, plannedGpus } from "../../../src/sim/fleets.js";
import { SCENARIOS, scenarioNamed } from "../../../src/sim/scenarios.js";
import type { Arrival, Workload } from "../../../src/sim/workload/arrival.js";
import { buildWorkload, type BuildOptions } from "../../../src/sim/workload/build.js";
import type { Scenario } from "../../../src/sim/workload/scenario.js";
import { isSynthetic, openSource, sourceNames } from "../../../src/sim/workload/sources.js";
import { statisticsOf } from "./workload/arrival-statistics.js";
import { nominalWorkMs } from "../../../src/sim/workload/work.js";
import { GPU_KIND_NAMES } from "../../../src/simulated-gpu/gpu-kinds.js";
import { MODEL_NAMES, modelShape } from "../../../src/simulated-gpu/models.js";
import { TRACES, testWithTraces } from "./workload/real-traces.js";

const ONCE: BuildOptions = { load: 1, scaling: "compress" };

function scenario(name: string): Scenario {
  const found = scenarioNamed(name);
  if (found === undefined) throw new Error(`no scenario ${name}`);
  return found;
}

function build(name: string, options: Partial<BuildOptions> = {}): Promise<Workload> {
  const wanted = scenario(name);
  return buildWorkload(wanted, wanted.parts.every(({ source }) => isSynthetic(source)) ? null : TRACES, { ...ONCE, ...options });
}

/** Nominal GPU time of the arrivals whose tenant is of a type, as GPUs kept busy. */
function gpusAsked(workload: Workload, arrivals: readonly Arrival[], type: string): number {
  const own = arrivals.flatMap((arrival) => {
    const tenant = workload.tenants[arrival.tenant];
    return tenant?.type === type ? [nominalWorkMs(arrival, modelShape(tenant.modelId).activeParameters / 8e9)] : [];
  });
  return own.reduce((sum, ms) => sum + ms, 0) / workload.durationMs;
}

function usersOf(workload: Workload, arrivals: Iterable<Arrival>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { tenant } of arrivals) {
    const name = workload.tenants[tenant]?.name ?? "nobody";
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe.each(SCENARIOS.map((each) => [each.name, each] as const))("scenario %s", (_, each) => {
  test("is consistent: its models, users and floods exist, and its words are in range", () => {
    const models = new Set(each.models);
    for (const model of models) if (model !== "training") expect(MODEL_NAMES).toContain(model);
    if ("groups" in each.fleet) for (const { kind } of each.fleet.groups) expect(GPU_KIND_NAMES).toContain(kind);
    expect(plannedGpus(each.fleet)).toBeGreaterThan(0);
    expect(each.durationMs).toBeGreaterThan(0);
    for (const { users, amount, name } of each.parts) {
      for (const user of users) {
        expect([1, 2, 3, 4, 5]).toContain(user.priority);
        expect(user.weight).toBeGreaterThan(0);
        for (const modelId of Object.keys(user.models)) expect(models).toContain(modelId);
      }
      if (amount.kind === "work") for (const other of amount.of) expect(each.parts.filter((part) => part.name === other && part.name !== name)).toHaveLength(1);
    }
    for (const { part, user, fromMs, toMs } of each.floods) {
      expect(each.parts.find(({ name }) => name === part)?.users.map(({ name }) => name)).toContain(user);
      expect(fromMs < toMs && toMs <= each.durationMs).toBe(true);
    }
  });
});

test("scenarios have names of their own, and the synthetic ones say so of everything", () => {
  expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
  const synthetic = SCENARIOS.filter(({ parts }) => parts.some(({ source }) => isSynthetic(source)));
  expect(synthetic.map(({ name }) => name)).toContain("synthetic-main");
  for (const { name, title, parts } of synthetic) {
    expect([name, ...parts.flatMap(({ source, users }) => [source, ...users.map((user) => user.name)])].every((word) => word.startsWith("synthetic-"))).toBe(true);
    expect(title).toMatch(/^Synthetic: /);
  }
});

describe("without traces", () => {
  test("the synthetic mix has all its users in order of time, the same for the same seed and others for another", async () => {
    const workload = await build("synthetic-main");
    const arrivals = [...workload.arrivals(1)];
    expect(arrivals.every(({ atMs }, index) => atMs >= (arrivals[index - 1]?.atMs ?? 0) && atMs < workload.durationMs)).toBe(true);
    // As text: deep comparison of ten thousand objects takes seconds.
    const text = (workloadAgain: Workload, seed: number): string => JSON.stringify([...workloadAgain.arrivals(seed)]);
    expect(text(workload, 1) === JSON.stringify(arrivals)).toBe(true);
    expect(text(await build("synthetic-main"), 1) === JSON.stringify(arrivals)).toBe(true);
    expect(text(workload, 2) === JSON.stringify(arrivals)).toBe(false);
    expect(Object.keys(usersOf(workload, arrivals)).sort()).toEqual(["assistant", "batch", "editor", "reviewer", "search", "support"].map((user) => `synthetic-${user}`));
    expect(new Set(workload.tenants.map(({ modelId }) => modelId)).size).toBe(8);
    expect(new Set(workload.tenants.filter(({ type }) => type === "inference").map(({ priority }) => priority))).toEqual(new Set([2, 3, 4, 5]));
  });

  test("the load multiplies the rate of everything, either way", async () => {
    const count = async (options: Partial<BuildOptions>): Promise<number> => statisticsOf((await build("synthetic-main", options)).arrivals(5)).meanPerSecond;
    const once = await count({ durationMs: 1_800_000 });
    for (const scaling of ["compress", "superpose"] as const) expect(Math.abs((await count({ scaling, load: 4.5, durationMs: 400_000 })) / once / 4.5 - 1)).toBeLessThan(0.1);
  });

  test("a scenario of real traces says which trace it needs, where to get it and what goes without", async () => {
    const main = scenario("main");
    await expect(buildWorkload(main, null, ONCE)).rejects.toThrow(/needs the trace azure-llm-2023\/AzureLLMInferenceTrace_conv\.csv: give the folder of traces with --traces DIR \(get it from Azure\/AzurePublicDataset .*begins with "synthetic"/);
    const folder = path.join(tmpdir(), "no-traces-here");
    await expect(buildWorkload(main, folder, ONCE)).rejects.toThrow(`there is no ${path.join(folder, "azure-llm-2023/AzureLLMInferenceTrace_conv.csv")}: give the folder`);
  });

  test("arrivals are made as they are asked for: of a billion, the first thousands come at once", async () => {
    const workload = await build("synthetic-main", { load: 1000, durationMs: 100_000_000 });
    let count = 0;
    let lastMs = 0;
    for (const { atMs } of workload.arrivals(1)) {
      expect(atMs >= lastMs).toBe(true);
      lastMs = atMs;
      count += 1;
      if (count === 20_000) break;
    }
    expect(lastMs).toBeLessThan(10_000);
  });
});

describe("with the traces", () => {
  testWithTraces("every source opens and has requests", async () => {
    for (const name of sourceNames()) {
      const source = await openSource(name, TRACES);
      const stream = source.stream(0, source.spanMs);
      expect(stream.durationMs).toBe(source.spanMs);
      expect(stream.senders.length).toBeGreaterThan(0);
      // ServeGen draws ten minutes of every client for its first request; that has a test of its own.
      if (name.startsWith("servegen")) continue;
      const [first] = stream.requests(1);
      expect(first?.gpus).toBeGreaterThan(0);
    }
  });

  testWithTraces("the main mix has five interactive users in their shares and a third of their work as batch", async () => {
    const workload = await build("main", { durationMs: 3_500_000 });
    const arrivals = [...workload.arrivals(1)];
    const counts = usersOf(workload, arrivals);
    const share = (user: string, of: number): number => (counts[user] ?? 0) / of;
    for (const [user, expected] of Object.entries({ assistant: 0.5, search: 0.3, support: 0.2 })) expect(share(user, 19_366)).toBeCloseTo(expected, 1);
    for (const [user, expected] of Object.entries({ editor: 0.6, reviewer: 0.4 })) expect(share(user, 8819)).toBeCloseTo(expected, 1);
    const batch = gpusAsked(workload, arrivals, "batch") / gpusAsked(workload, arrivals, "inference");
    expect(batch).toBeGreaterThan(0.28);
    expect(batch).toBeLessThan(0.39);
  });

  testWithTraces("conversation and code stay on their common clock whatever the seed, and each seed has another stretch", async () => {
    const parts = scenario("no-batch").parts;
    const source = await Promise.all(parts.map((part) => openSource(part.source, TRACES)));
    const leadMs = (source[1]?.startMs ?? 0) - (source[0]?.startMs ?? 0);
    const workload = await build("no-batch", { durationMs: 3_400_000 });
    const entries = new Set<number>();
    for (const seed of [1, 2, 3, 4]) {
      const arrivals = [...workload.arrivals(seed)];
      // The first row of each trace, told by its sizes in order with the second's.
      const places = ["azure-conv", "azure-code"].map((_, index) => {
        const [first, second] = source[index]?.stream(0, 1e9).requests(0) ?? [];
        const users = new Set(parts[index]?.users.map(({ name }) => name));
        const own = arrivals.filter(({ tenant }) => users.has(workload.tenants[tenant]?.name ?? ""));
        const at = own.findIndex((each, place) => each.inputTokens === first?.inputTokens && each.outputTokens === first.outputTokens && own[place + 1]?.inputTokens === second?.inputTokens);
        return own[at]?.atMs ?? Number.NaN;
      });
      const distanceMs = (places[1] ?? 0) - (places[0] ?? 0);
      const periodMs = leadMs + (source[1]?.spanMs ?? 0);
      expect(Math.min(Math.abs(distanceMs - leadMs), Math.abs(distanceMs - leadMs + periodMs))).toBeLessThan(1);
      entries.add(Math.round(places[0] ?? 0));
    }
    expect(entries.size).toBe(4);
  });

  testWithTraces("a flood is ten times a user's usual, in its window only", async () => {
    const [calm, flooded] = await Promise.all([build("main"), build("floods")]);
    const minutes = (workload: Workload, user: string): number[] => {
      const counts = Array.from({ length: 20 }, () => 0);
      for (const { atMs, tenant } of workload.arrivals(3)) if (workload.tenants[tenant]?.name === user) counts[Math.floor(atMs / 60_000)]! += 1;
      return counts;
    };
    const before = minutes(calm, "support");
    const after = minutes(flooded, "support");
    expect(after.filter((count, minute) => minute < 12 || minute >= 14 ? count !== before[minute] : count < 4 * (before[minute] ?? 0))).toEqual([]);
    const sum = (counts: readonly number[]): number => counts.slice(12, 14).reduce((all, count) => all + count, 0);
    expect(sum(after) / sum(before)).toBeGreaterThan(6);
    expect(minutes(flooded, "assistant")).toEqual(minutes(calm, "assistant"));
  });

  testWithTraces("the fleet of every scenario has its GPUs, and openb's needs its nodes", async () => {
    for (const { fleet } of SCENARIOS) expect((await plannedFleet(fleet, TRACES)).flatMap(({ gpus }) => gpus)).toHaveLength(plannedGpus(fleet));
    await expect(plannedFleet(scenario("openb").fleet, null)).rejects.toThrow(/needs the trace alibaba-openb-gpu-v2023\/openb_node_list_gpu_node\.csv/);
  });

  testWithTraces("training keeps about a third of the cut cluster busy, whatever the load", async () => {
    for (const load of [1, 3]) {
      const workload = await build("openb", { load });
      const arrivals = [...workload.arrivals(2)].filter(({ tenant }) => workload.tenants[tenant]?.type === "training");
      const gpus = gpusAsked(workload, arrivals, "training");
      // Heavy tails: an hour differs much from the month.
      expect(gpus).toBeGreaterThan(0.2 * 128);
      expect(gpus).toBeLessThan(0.55 * 128);
      expect(arrivals.every(({ gpus: wide, workMs }) => wide <= 8 && workMs <= 900_000)).toBe(true);
    }
  });

  testWithTraces("the affinity scenario carries the trace's prompts", async () => {
    const arrivals = [...(await build("affinity")).arrivals(1)];
    expect(arrivals.length).toBeGreaterThan(10_000);
    expect(arrivals.every(({ prefixHashes, inputTokens }) => prefixHashes.length === Math.ceil(inputTokens / 512))).toBe(true);
  });
});
