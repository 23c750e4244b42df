// A short replay of a trace that the test makes itself, undisturbed and with its router and one of its agents killed in the
// middle. The same at length with Azure's own traces is replay.slow.ts.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { seededRandom } from "../../src/lib/random.js";
import { connectedTo, eventually, startAgent, startRouter, temporaryFolder, type RouterProcess, type TestProcess } from "./harness.js";
import { endsSoFar, expectOneEndEach, startReplay } from "./replay-check.js";

const SEED = Number(process.env["GPU_ROUTER_SEED"] ?? 7);
const REQUESTS = 400;
/** Of the trace's own time; played twenty times faster. */
const TRACE_SECONDS = 40;
const SPEED = 20;

/** A trace in Azure's form: Poisson arrivals, most requests short and a few long. */
async function writeTrace(seed: number): Promise<string> {
  const random = seededRandom(seed);
  const exponential = (mean: number): number => -Math.log(1 - random()) * mean;
  const rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"];
  let atMs = Date.UTC(2023, 10, 16, 18, 15, 46);
  for (let index = 0; index < REQUESTS; index += 1) {
    atMs += exponential((TRACE_SECONDS * 1000) / REQUESTS);
    const time = new Date(atMs).toISOString().replace("T", " ").replace("Z", "0000");
    rows.push(`${time},${1 + Math.floor(exponential(800))},${1 + Math.min(400, Math.floor(exponential(60)))}`);
  }
  const file = path.join(await temporaryFolder(), "trace.csv");
  await writeFile(file, `${rows.join("\n")}\n`);
  return file;
}

interface Stage {
  readonly router: RouterProcess;
  readonly agents: readonly TestProcess[];
}

async function stage(config: object = {}): Promise<Stage> {
  const router = await startRouter({ config });
  const agents = await Promise.all(["node-a", "node-b"].map((nodeId) => startAgent({ nodeId, router: router.grpcAddress, gpus: 4, speed: SPEED })));
  return { router, agents };
}

test("every request ends once, and report, router and agents count the same", async () => {
  const { router, agents } = await stage();
  const replay = startReplay(router.grpcAddress, [await writeTrace(SEED)], ["--speed", `${SPEED}`]);
  const report = await replay.report;
  expect(await replay.process.ended).toBe(0);
  expect(report.plan.requests).toBe(REQUESTS);
  await expectOneEndEach(report, router.client, agents);
  expect(report.counts).toMatchObject({ redispatched: 0, retries: 0, reconnects: 0 });
  expect(report.gpus).toHaveLength(8);
}, 60_000);

test(`the router is killed in the middle and comes back: every request ends once (GPU_ROUTER_SEED=${SEED})`, async () => {
  const { router, agents } = await stage();
  const replay = startReplay(router.grpcAddress, [await writeTrace(SEED)], ["--speed", `${SPEED}`]);
  const killAfter = Math.floor(REQUESTS * (0.2 + 0.5 * seededRandom(SEED)()));
  await eventually(`${killAfter} attempts have ended`, () => endsSoFar(agents) >= killAfter);
  await router.process.kill();
  const again = await router.restart();
  expect(again.epoch).toBe(router.epoch + 1);
  for (const agent of agents) await connectedTo(agent, again.epoch);
  const report = await replay.report;
  expect(await replay.process.ended).toBe(0);
  await expectOneEndEach(report, again.client, agents);
  expect(report.counts.reconnects).toBeGreaterThan(0);
}, 60_000);

test(`an agent is killed in the middle: its requests run elsewhere and end once (GPU_ROUTER_SEED=${SEED})`, async () => {
  const { router, agents } = await stage({ agents: { lease: 1, node_lost_after: 1.5 } });
  const replay = startReplay(router.grpcAddress, [await writeTrace(SEED)], ["--speed", `${SPEED}`]);
  const killAfter = Math.floor(REQUESTS * (0.2 + 0.4 * seededRandom(SEED + 1)()));
  await eventually(`${killAfter} attempts have ended`, () => endsSoFar(agents) >= killAfter);
  const doomed = agents[0]!;
  await doomed.kill();
  const report = await replay.report;
  expect(await replay.process.ended).toBe(0);
  await expectOneEndEach(report, router.client, agents, [doomed]);
  expect(report.counts.redispatched).toBeGreaterThan(0);
}, 60_000);
