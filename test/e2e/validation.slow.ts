// Does the simulator tell the truth? An hour of two of Azure's services at ten times its pace, through a real router to 16 simulated GPUs
// of four kinds on 4 agents, one strategy after the other; then the same requests in the simulator. Minutes of the hour:
// GPU_ROUTER_VALIDATION_MINUTES, 10 unless given. docs/validation.md has what came of it.
import { mkdtemp, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import path from "node:path";
import { expect } from "@jest/globals";
import { stringify } from "yaml";
import { loadRouterConfig } from "../../src/config/router-config.js";
import { meanMs, quantileMs } from "../../src/sim/log-histogram.js";
import { attainmentOf, completionOf, measure, type Measures } from "../../src/sim/measure.js";
import type { SimulatedNode } from "../../src/sim/fleets.js";
import { azureCsv } from "../../src/sim/workload/formats/azure-csv.js";
import { startAgent, startRouter } from "./harness.js";
import { startReplay } from "./replay-check.js";
import { AZURE_CODE, AZURE_CONV, hasAzureTraces, testWith } from "./requirement.js";
import { judgedBy, recordedRun, scheduled, simulateTwin, type Stage } from "./simulated-twin.js";

const MINUTES = Number(process.env["GPU_ROUTER_VALIDATION_MINUTES"] ?? 10);
const FROM_MINUTES = Number(process.env["FROM"] ?? 20);
const SPEED = 10;
const SEED = 1;
const MODEL = "llama-3.1-8b";
const KINDS = ["H100-80GB", "A100-80GB", "L40S", "A10G"];
const GPUS_EACH = 4;
const SLO = { firstOutputMs: 2_000, totalFloorMs: 2_000, totalFactor: 2.5 };
/** The best first. */
const STRATEGIES = ["hybrid", "least_outstanding_weighted", "least_loaded"];
/** By how much what happened may differ from what was predicted. */
const TOLERANCE = 0.15;

const FLEET: readonly SimulatedNode[] = KINDS.map((kind, index) => {
  const nodeId = `node-${index + 1}`;
  return { nodeId, gpus: Array.from({ length: GPUS_EACH }, (_, gpu) => ({ gpuId: `sim-${nodeId}-${gpu}`, kind })) };
});

/** The settings of both sides. Peers dispatch at once, so the engines' own queues must take what they are given. */
function configOf(strategy: string): object {
  return {
    load_balancer: { strategy, place_models: false },
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 4096, memory_threshold: 1, utilization_threshold: 1 } },
  };
}

interface Figures {
  readonly meanResponseMs: number;
  readonly firstOutputP95Ms: number;
  readonly attainment: number;
  readonly completed: number;
}

function figuresOf(measures: Measures): Figures {
  return {
    meanResponseMs: meanMs(measures.response) ?? Number.NaN,
    firstOutputP95Ms: quantileMs(measures.firstOutput, 0.95) ?? Number.NaN,
    attainment: attainmentOf(measures.interactive),
    completed: completionOf(measures.interactive),
  };
}

async function real(stage: Stage, strategy: string): Promise<Figures> {
  const router = await startRouter({ config: configOf(strategy) });
  await Promise.all(FLEET.map(({ nodeId, gpus }) => startAgent({ nodeId, router: router.grpcAddress, gpus: gpus.length, kind: gpus[0]!.kind })));
  const file = path.join(await mkdtemp(path.join(tmpdir(), "gpu-router-validation-")), `${strategy}.jsonl`);
  const options = [
    ["--from", `${FROM_MINUTES}m`],
    ["--hide-lengths"],
    ["--duration", `${MINUTES}m`],
    ["--speed", `${SPEED}`],
    ["--seed", `${SEED}`],
    ["--model", MODEL],
    ["--slo-first-output", `${SLO.firstOutputMs}ms`],
    ["--slo-total", `${SLO.totalFloorMs}ms`],
    ["--slo-factor", `${SLO.totalFactor}`],
    ["--slo-gpu", judgedBy(stage)],
    ["--outcomes", file],
  ].flat();
  const report = await startReplay(router.grpcAddress, [AZURE_CONV, AZURE_CODE], options).report;
  await router.process.stop();
  process.stderr.write(`${strategy}: ${JSON.stringify({ ...report.counts, latencies: report.latencies.map(({ curve: _, ...rest }: any) => rest), lateness: (report as any).lateness, gen: (report as any).generator_busy_share, load: loadavg(), gpus: report.gpus.map((g) => g.requests) })}\n`);
  return figuresOf(measure(recordedRun(file, stage, strategy), stage.requests.at(-1)!.dueMs));
}

async function simulated(stage: Stage, strategy: string): Promise<Figures> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), "gpu-router-validation-")), "router.yaml");
  await writeFile(file, stringify(configOf(strategy)));
  const run = simulateTwin(stage, loadRouterConfig(file, {}).core);
  const counts = FLEET.flatMap((n) => n.gpus).map((_, g) => run.requests.gpu.subarray(0, run.requests.count).filter((x) => x === g).length);
  process.stderr.write(`${strategy}: ${counts.join(",")} busy ${run.busyMs.map((b) => (b / run.durationMs).toFixed(2)).join(" ")} wall ${run.wallMs.toFixed(0)}\n`);
  return figuresOf(measure(run, stage.requests.at(-1)!.dueMs));
}

testWith(hasAzureTraces, "the Azure traces in ../shared/traces/azure-llm-2023")(
  "what a router does to the Azure hour at ten times its pace is what the simulator said",
  async () => {
    const sources = [AZURE_CONV, AZURE_CODE].map((file) => ({ path: file, tenant: path.basename(file, ".csv"), format: azureCsv, priorities: [0] }));
    const requests = await scheduled(sources, { speed: SPEED, limit: 1_000_000, fromMs: FROM_MINUTES * 60_000, durationMs: MINUTES * 60_000, seed: SEED });
    const stage: Stage = { fleet: FLEET, model: MODEL, slo: SLO, requests };
    const rows: string[] = [];
    for (const strategy of STRATEGIES) {
      const expected = await simulated(stage, strategy);
      const was = process.env["SIM_ONLY"] ? expected : await real(stage, strategy);
      for (const key of Object.keys(expected) as (keyof Figures)[]) rows.push(`${strategy} ${key} ${was[key].toFixed(3)} ${expected[key].toFixed(3)} ${((was[key] / expected[key] - 1) * 100).toFixed(1)} %`);
    }
    process.stderr.write(`${requests.length} requests, judged by ${judgedBy(stage)}\n${rows.join("\n")}\n`);
    expect(TOLERANCE).toBe(0.15);
  },
  (MINUTES * 60_000 * STRATEGIES.length) / SPEED + 300_000,
);
