// The first twenty minutes of two of Azure's services at twenty times their speed, on 16 simulated GPUs of 4 agents: undisturbed,
// with the router killed, and with an agent killed. A minute each; `npm run test:e2e` runs them, `npm test` does not.
import { readFileSync } from "node:fs";
import { expect } from "@jest/globals";
import { seededRandom } from "../../src/lib/random.js";
import { connectedTo, eventually, startAgent, startRouter, type RouterProcess, type TestProcess } from "./harness.js";
import { endsSoFar, expectOneEndEach, startReplay, type Replay, type ReplayReport } from "./replay-check.js";
import { AZURE_CODE, AZURE_CONV, hasAzureTraces, testWith } from "./requirement.js";

const SEED = Number(process.env["GPU_ROUTER_SEED"] ?? 1);
const SPEED = 20;
const NODES = ["node-a", "node-b", "node-c", "node-d"];
/** 20 minutes of both traces. */
const AT_LEAST_REQUESTS = 9_000;
const replaying = testWith(hasAzureTraces, "the Azure traces in ../shared/traces/azure-llm-2023");
const DEADLINE_MS = 300_000;

interface Stage {
  readonly router: RouterProcess;
  readonly agents: readonly TestProcess[];
  readonly replay: Replay;
}

async function stage(): Promise<Stage> {
  const router = await startRouter();
  // As fast as the trace is played: the GPUs are as busy as real ones of this kind would have been.
  const agents = await Promise.all(NODES.map((nodeId) => startAgent({ nodeId, router: router.grpcAddress, gpus: 4, speed: SPEED })));
  const replay = startReplay(router.grpcAddress, [AZURE_CONV, AZURE_CODE], ["--duration", "20m", "--speed", `${SPEED}`]);
  return { router, agents, replay };
}

/** A moment between a quarter and three quarters of the replay, as a number of ended attempts. */
function someMoment(seed: number): number {
  return Math.floor(AT_LEAST_REQUESTS * (0.25 + 0.5 * seededRandom(seed)()));
}

/** Resident memory of a process at its peak and now, MiB; null where the system does not tell. */
function memoryMib(process: TestProcess): { readonly peak: number; readonly now: number } | null {
  try {
    const text = readFileSync(`/proc/${process.child.pid}/status`, "utf8");
    const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]);
    return { peak: Math.round(kib("VmHWM") / 1024), now: Math.round(kib("VmRSS") / 1024) };
  } catch {
    return null;
  }
}

function tell(what: string, report: ReplayReport, router: RouterProcess): void {
  const busy = report.gpus.reduce((sum, gpu) => sum + gpu.mean_concurrency, 0) / report.gpus.length;
  const latency = (name: string): string => {
    const found = report.latencies.find((each) => each.name === name);
    return `${name} p50 ${found?.p50_ms?.toFixed(1)} p99 ${found?.p99_ms?.toFixed(1)} ms`;
  };
  const memory = memoryMib(router.process);
  process.stderr.write(
    `${what}: ${report.counts.completed} requests in ${(report.elapsed_ms / 1000).toFixed(1)} s, ${busy.toFixed(2)} running per GPU, ${latency("answer")}, ${latency("wait")}, ` +
      `${report.counts.retries} retries, ${report.counts.reconnects} reconnects, ${report.counts.redispatched} redispatched, router memory ${memory ? `${memory.now} MiB, peak ${memory.peak}` : "unknown"}\n`,
  );
}

replaying(
  "every request ends once, and report, router and agents count the same",
  async () => {
    const { router, agents, replay } = await stage();
    const report = await replay.report;
    tell("undisturbed", report, router);
    expect(await replay.process.ended).toBe(0);
    expect(report.plan.requests).toBeGreaterThan(AT_LEAST_REQUESTS);
    await expectOneEndEach(report, router.client, agents);
    expect(report.counts).toMatchObject({ redispatched: 0, retries: 0, reconnects: 0 });
    // The load must mean something: every GPU has worked, and none was idle for long.
    expect(report.gpus).toHaveLength(16);
    for (const gpu of report.gpus) expect(gpu.busy_share).toBeGreaterThan(0.3);
  },
  DEADLINE_MS,
);

replaying(
  `the router is killed in the middle and comes back: every acknowledged request ends once (GPU_ROUTER_SEED=${SEED})`,
  async () => {
    const { router, agents, replay } = await stage();
    const moment = someMoment(SEED);
    await eventually(`${moment} attempts have ended`, () => endsSoFar(agents) >= moment, DEADLINE_MS);
    await router.process.kill();
    const again = await router.restart();
    for (const agent of agents) await connectedTo(agent, again.epoch);
    const report = await replay.report;
    tell("router killed", report, again);
    expect(await replay.process.ended).toBe(0);
    await expectOneEndEach(report, again.client, agents);
    expect(report.counts.reconnects).toBeGreaterThan(0);
  },
  DEADLINE_MS,
);

replaying(
  `an agent is killed in the middle: its requests run elsewhere and end once (GPU_ROUTER_SEED=${SEED})`,
  async () => {
    const { router, agents, replay } = await stage();
    const moment = someMoment(SEED + 1);
    await eventually(`${moment} attempts have ended`, () => endsSoFar(agents) >= moment, DEADLINE_MS);
    const doomed = agents[SEED % agents.length]!;
    await doomed.kill();
    const report = await replay.report;
    tell("agent killed", report, router);
    expect(await replay.process.ended).toBe(0);
    await expectOneEndEach(report, router.client, agents, [doomed]);
    expect(report.counts.redispatched).toBeGreaterThan(0);
  },
  DEADLINE_MS,
);
