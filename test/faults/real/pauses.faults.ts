// Processes that stand still (SIGSTOP) and go on: a pause of the router declares nobody dead, a short one of an agent neither; a long one
// of an agent gives its work to others, and what must not run twice at once is stopped though its agent cannot stop it.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { eventually, startRouter, type RouterProcess, type TestProcess } from "../../e2e/harness.js";
import { attemptsWhenCompleted, KILLS_CONFIG, startWorkers } from "./fleet.js";
import { ONCE, onceReport } from "./once-work.js";

/** Work of all kinds that takes `ms`: inference, training of the simulated runner, a command. Resolves when all of it runs. */
async function startWork(router: RouterProcess, ms: number, count: number): Promise<string[]> {
  const kinds = [
    (requestId: string) => ({ requestId, modelId: "m", resourceRequirements: { expectedDurationMs: BigInt(ms) } }),
    (requestId: string) => ({ requestId, modelId: "m", idempotent: false, resourceRequirements: { expectedDurationMs: BigInt(ms) } }),
    (requestId: string) => ({ requestId, modelId: ONCE, idempotent: false, payload: { case: "payloadBytes", value: Buffer.from(`${Math.ceil(ms / 50)}`) } as const }),
  ];
  const ids = Array.from({ length: count }, (_, index) => `r-${index}`);
  for (const [index, requestId] of ids.entries()) await router.client.route({ timeoutMs: 3_600_000n, ...kinds[index % kinds.length]?.(requestId) });
  for (const requestId of ids) await eventually(`${requestId} runs`, async () => (await router.client.status({ requestId })).request?.startTime);
  return ids;
}

async function stopFor(process: TestProcess, ms: number): Promise<void> {
  process.child.kill("SIGSTOP");
  await pause(ms);
  process.child.kill("SIGCONT");
}

const ONE_EACH = (ids: readonly string[]): number[] => ids.map(() => 1);

describe("A process that stands still", () => {
  test("the router for 3 s: no node is declared dead, nothing runs a second time", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const { onceFolder } = await startWorkers(router.grpcAddress, 3);
    const ids = await startWork(router, 6_000, 9);
    await stopFor(router.process, 3_000);
    expect(await attemptsWhenCompleted(router, ids, 20_000)).toEqual(ONE_EACH(ids));
    expect(onceReport(onceFolder)).toMatchObject({ requests: 3, runs: 3, completed: 3 });
  });

  test("the router again and again, for longer than a heartbeat and shorter than it takes to be given up: nothing runs a second time", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    await startWorkers(router.grpcAddress, 3);
    const ids = await startWork(router, 6_000, 9);
    for (let times = 0; times < 5; times += 1) {
      await stopFor(router.process, 500);
      await pause(300);
    }
    expect(await attemptsWhenCompleted(router, ids, 20_000)).toEqual(ONE_EACH(ids));
  });

  test("an agent for 0.5 s: it is not taken for dead", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const { agents } = await startWorkers(router.grpcAddress, 3);
    const ids = await startWork(router, 3_000, 9);
    for (const agent of agents) await stopFor(agent, 500);
    expect(await attemptsWhenCompleted(router, ids, 20_000)).toEqual(ONE_EACH(ids));
  });

  test("an agent whose work is cancelled or times out meanwhile: the requests end all the same, in time", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const { agents } = await startWorkers(router.grpcAddress, 1);
    const work = { modelId: "m", idempotent: false, resourceRequirements: { expectedDurationMs: 60_000n } };
    await router.client.route({ ...work, requestId: "cancelled", timeoutMs: 3_600_000n });
    await router.client.route({ ...work, requestId: "late", timeoutMs: 3_000n });
    for (const requestId of ["cancelled", "late"]) await eventually(`${requestId} runs`, async () => (await router.client.status({ requestId })).request?.startTime);
    for (const agent of agents) agent.child.kill("SIGSTOP");
    await router.client.cancel({ requestId: "cancelled", reason: "of the test" });
    const end = (requestId: string): Promise<RequestState> =>
      eventually(`${requestId} ends`, async () => {
        const { request } = await router.client.status({ requestId });
        return request && request.state !== RequestState.PROCESSING && request.state;
      }, 30_000);
    expect(await end("cancelled")).toBe(RequestState.CANCELLED);
    expect(await end("late")).toBe(RequestState.FAILED);
    for (const agent of agents) agent.child.kill("SIGCONT");
  });

  test("an agent for 10 s: its work goes to the others, no command runs beside its successor, and it comes back", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const { agents, onceFolder } = await startWorkers(router.grpcAddress, 3);
    const ids = await startWork(router, 14_000, 9);
    const [stopped] = agents;
    const hit: string[] = [];
    for (const requestId of ids) if ((await router.client.status({ requestId })).request?.assignedGpu.startsWith("sim-node-0-")) hit.push(requestId);
    expect(hit.length).toBeGreaterThan(0);
    if (stopped) await stopFor(stopped, 10_000);
    const attempts = await attemptsWhenCompleted(router, ids, 50_000);
    const runTwice = ids.filter((_, index) => attempts[index] !== 1);
    expect(hit).toEqual(expect.arrayContaining(runTwice));
    expect(runTwice.length).toBeGreaterThan(0);
    expect(onceReport(onceFolder).overlapping).toEqual([]);
    // What it did meanwhile counts no more; it takes work again.
    await eventually("the stopped one is back", async () => (await router.client.gpuStatus({})).gpus.every(({ stateReason }) => stateReason === ""));
  });
});
