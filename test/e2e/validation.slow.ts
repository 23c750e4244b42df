// Does the simulator tell the truth? Two of Azure's services at ten times their pace, through a real router to 16 simulated GPUs of three
// kinds on 4 agents, one strategy after the other; then the same requests in the simulator. Busy minutes of the hour, or all of it with
// GPU_ROUTER_VALIDATION=hour (20 minutes). docs/validation.md has what came of it.
import { writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import path from "node:path";
import { expect } from "@jest/globals";
import { stringify } from "yaml";
import type { ScheduleOptions } from "../../src/cli/replay/schedule.js";
import { loadRouterConfig } from "../../src/config/router-config.js";
import { measure } from "../../src/sim/measure.js";
import type { SimulatedNode } from "../../src/sim/fleets.js";
import { fileFormat } from "../../src/sim/workload/formats/detect-format.js";
import { agrees, compared, comparisonTable, figuresOf, misranked, type Compared, type Figures } from "./figures.js";
import { startAgent, startRouter, temporaryFolder, type TestProcess } from "./harness.js";
import { startReplay } from "./replay-check.js";
import { AZURE_CODE, AZURE_CONV, hasAzureTraces, testWith } from "./requirement.js";
import { judgedBy, recordedRun, scheduled, simulateTwin, type Stage } from "./simulated-twin.js";

const MINUTE_MS = 60_000;
const HOUR = process.env["GPU_ROUTER_VALIDATION"] === "hour";
const TIMING: ScheduleOptions = { speed: 10, limit: 1_000_000, fromMs: HOUR ? 0 : 20 * MINUTE_MS, durationMs: (HOUR ? 60 : 8) * MINUTE_MS, seed: 1 };
const MODEL = "llama-3.1-8b";
const KINDS = ["H100-80GB", "A100-80GB", "L40S", "L40S"];
const GPUS_EACH = 4;
const SLO = { firstOutputMs: 2_000, totalFloorMs: 2_000, totalFactor: 2.5 };
const STRATEGIES = ["hybrid", "least_outstanding_weighted", "least_loaded"];
/** What happened differs from the prediction by this much at most. */
const TOLERANCE = 0.15;
/** Where 1 % of the requests are sent later than this, the machine is too busy with other things to measure anything, ms. */
const MOST_LATE_MS = 60;
const TRIES = 3;
const SIMULATED_RUNS = 5;

const FLEET: readonly SimulatedNode[] = KINDS.map((kind, index) => {
  const nodeId = `node-${index + 1}`;
  return { nodeId, gpus: Array.from({ length: GPUS_EACH }, (_, gpu) => ({ gpuId: `sim-${nodeId}-${gpu}`, kind })) };
});

/** What the router and the simulator read. Slots are many, for peers that dispatch at once and leave the waiting to the engines. */
function configOf(strategy: string): object {
  return {
    load_balancer: { strategy, place_models: false },
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 64, memory_threshold: 1, utilization_threshold: 1 } },
  };
}

/** Measures again what a starved machine has spoilt; `starved` when it was every time. */
async function real(stage: Stage, strategy: string): Promise<{ readonly figures: Figures; readonly starved: boolean }> {
  for (let tries = 1; ; tries += 1) {
    const { figures, lateMs } = await replayed(stage, strategy);
    process.stderr.write(`${strategy}: sent p99 ${lateMs.toFixed(0)} ms late, load average ${loadavg()[0]?.toFixed(1)}\n`);
    const starved = lateMs > MOST_LATE_MS;
    if (!starved || tries === TRIES) return { figures, starved };
  }
}

async function replayed(stage: Stage, strategy: string): Promise<{ readonly figures: Figures; readonly lateMs: number }> {
  const router = await startRouter({ config: configOf(strategy) });
  const agents = await Promise.all(FLEET.map(({ nodeId, gpus }) => startAgent({ nodeId, router: router.grpcAddress, gpus: gpus.length, kind: gpus[0]?.kind ?? "" })));
  const outcomes = path.join(await temporaryFolder(), "outcomes.jsonl");
  const options = {
    from: `${TIMING.fromMs}ms`,
    duration: `${TIMING.durationMs}ms`,
    speed: TIMING.speed,
    seed: TIMING.seed,
    model: MODEL,
    "slo-first-output": `${SLO.firstOutputMs}ms`,
    "slo-total": `${SLO.totalFloorMs}ms`,
    "slo-factor": SLO.totalFactor,
    "slo-gpu": judgedBy(stage),
    outcomes,
  };
  const replay = startReplay(router.grpcAddress, [AZURE_CONV, AZURE_CODE], ["--hide-lengths", ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`])]);
  const report = await Promise.race([replay.report, anyEnd([router.process, ...agents])]);
  // For the next one the machine is to be idle again.
  for (const each of [...agents, router.process]) await each.stop();
  return { figures: figuresOf(measure(recordedRun(outcomes, stage, strategy), arrivalsMs(stage))), lateMs: report.lateness.p99_ms ?? 0 };
}

/** Rejects when one of the fleet ends in the middle. */
async function anyEnd(processes: readonly TestProcess[]): Promise<never> {
  const [each, how] = await Promise.race(processes.map(async (one) => [one, await one.ended] as const));
  throw new Error(`A process of the fleet has ended with ${how}.\n${each.stderr}\n${each.stdout.slice(-4000)}`);
}

async function simulated(stage: Stage, strategy: string): Promise<Figures[]> {
  const file = path.join(await temporaryFolder(), "router.yaml");
  await writeFile(file, stringify(configOf(strategy)));
  const { core } = loadRouterConfig(file, {});
  return Array.from({ length: SIMULATED_RUNS }, (_, seed) => figuresOf(measure(simulateTwin(stage, core, seed), arrivalsMs(stage))));
}

function arrivalsMs({ requests }: Stage): number {
  return requests.at(-1)?.dueMs ?? 0;
}

testWith(hasAzureTraces, "the Azure traces in ../shared/traces/azure-llm-2023")(
  "what a router does to Azure's requests at ten times their pace is what the simulator says, strategy by strategy",
  async () => {
    const sources = await Promise.all([AZURE_CONV, AZURE_CODE].map(async (file) => ({ path: file, tenant: path.basename(file, ".csv"), format: await fileFormat(file), priorities: [0] })));
    const stage: Stage = { fleet: FLEET, model: MODEL, slo: SLO, requests: await scheduled(sources, TIMING) };
    const all: Compared[] = [];
    process.stderr.write(`${stage.requests.length} requests in ${(arrivalsMs(stage) / 1000).toFixed(0)} s\n`);
    const tailsOf = new Set<string>();
    for (const strategy of STRATEGIES) {
      const { figures, starved } = await real(stage, strategy);
      if (!starved) tailsOf.add(strategy);
      all.push(...compared(strategy, figures, await simulated(stage, strategy)));
      process.stderr.write(`${comparisonTable(all)}\n`);
    }
    // Of a machine that others keep from its work, the tails are the machine's: printed, not judged.
    const judged = all.filter(({ strategy, name }) => name !== "first output p95, ms" || tailsOf.has(strategy));
    expect(judged.filter((figure) => !agrees(figure, TOLERANCE))).toEqual([]);
    expect(misranked(judged)).toEqual([]);
  },
  STRATEGIES.length * TRIES * (TIMING.durationMs / TIMING.speed + 2 * MINUTE_MS),
);
