// Networks between agents and the router that are slow, break again and again, or carry bytes in one direction alone.
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { startProxy } from "../../e2e/cuttable-proxy.js";
import { eventually, startAgent, startRouter, type RouterProcess } from "../../e2e/harness.js";
import { testWith } from "../../e2e/requirement.js";
import { attemptsWhenCompleted, IN_ORDER, KILLS_CONFIG, startWorkers, unexpectedTrouble } from "./fleet.js";
import { makeLink, noNamespaces } from "./links.js";
import { Load } from "./load.js";
import { onceReport } from "./once-work.js";
import { randomOf } from "./settings.js";

const oneWay = testWith(noNamespaces === "", `network namespaces (${noNamespaces})`);

/** Inference that takes `ms`; resolves when all of it runs. */
async function startInference(router: RouterProcess, count: number, ms: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `r-${index}`);
  for (const requestId of ids) await router.client.route({ requestId, modelId: "m", timeoutMs: 3_600_000n, resourceRequirements: { expectedDurationMs: BigInt(ms) } });
  for (const requestId of ids) await eventually(`${requestId} runs`, async () => (await router.client.status({ requestId })).request?.startTime);
  return ids;
}

describe("A network", () => {
  test("that takes 200 ms each way: everything ends, and no command runs a second time", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const slow = await startProxy(router.grpcAddress, 200);
    const { agents, onceFolder } = await startWorkers(slow.address, 2);
    const load = new Load({ router: router.grpcAddress, random: randomOf("slow link"), concurrency: 16, onceShare: 0.1, cancelShare: 0.05 });
    await eventually("a hundred have ended", () => load.ended >= 100, 60_000);
    await load.finish(30_000);
    expect(load.ledger.verdict()).toMatchObject(IN_ORDER);
    const { runs, requests } = onceReport(onceFolder);
    expect(runs).toBe(requests);
    expect(unexpectedTrouble([router.process, ...agents])).toEqual([]);
  });

  test("that is cut at random moments, again and again: everything ends once, no command runs beside itself", async () => {
    const random = randomOf("cuts");
    const router = await startRouter({ config: KILLS_CONFIG });
    const wire = await startProxy(router.grpcAddress);
    const { agents, onceFolder } = await startWorkers(wire.address, 3);
    const load = new Load({ router: router.grpcAddress, random, concurrency: 24, onceShare: 0.2, cancelShare: 0.05 });
    for (let cuts = 0; cuts < 20; cuts += 1) {
      await pause(random() * 600);
      wire.cut();
    }
    await load.finish(60_000);
    expect(load.ledger.verdict()).toMatchObject(IN_ORDER);
    expect(load.ended).toBeGreaterThan(20);
    expect(onceReport(onceFolder).overlapping).toEqual([]);
    expect(unexpectedTrouble([router.process, ...agents])).toEqual([]);
  });

  test("that is lost for a moment: nothing runs a second time", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const link = await makeLink(router.grpcAddress);
    await startAgent({ nodeId: "remote", router: link.address, within: link.within });
    const ids = await startInference(router, 8, 4_000);
    link.silence();
    await pause(300);
    link.heal();
    expect(await attemptsWhenCompleted(router, ids)).toEqual(ids.map(() => 1));
  });

  test("that is lost for 5 s: the work is done elsewhere, the node comes back and takes work", async () => {
    const router = await startRouter({ config: KILLS_CONFIG });
    const link = await makeLink(router.grpcAddress);
    await startAgent({ nodeId: "remote", router: link.address, within: link.within });
    const ids = await startInference(router, 8, 4_000);
    await startAgent({ nodeId: "near", router: router.grpcAddress });
    link.silence();
    await pause(5_000);
    link.heal();
    expect(await attemptsWhenCompleted(router, ids)).toEqual(ids.map(() => 2));
    await eventually("the node is back", async () => (await router.client.gpuStatus({})).gpus.every(({ stateReason }) => stateReason === ""));
    const { requestId } = await router.client.route({ modelId: "m", specificGpuId: "sim-remote-0", timeoutMs: 3_600_000n, resourceRequirements: { expectedDurationMs: 10n } });
    expect(await attemptsWhenCompleted(router, [requestId])).toEqual([1]);
  });

  oneWay("in which the router is heard no more, but hears: the agent stops what must not run twice, and the router knows", async () => {
    const router = await startRouter({ config: { ...KILLS_CONFIG, agents: { lease: 2, stop_allowance: 0.5 } } });
    const link = await makeLink(router.grpcAddress);
    const deaf = await startAgent({ nodeId: "deaf", router: link.address, within: link.within, gpus: 1 });
    await router.client.route({ requestId: "train", modelId: "m", type: "training", resourceRequirements: { expectedDurationMs: 600_000n } });
    await eventually("it runs", async () => (await router.client.status({ requestId: "train" })).request?.startTime);
    await startAgent({ nodeId: "other", router: router.grpcAddress, gpus: 1 });
    link.silenceTheRouter();
    const fenced = await deaf.line("the end of the attempt", ({ msg }) => msg === "attempt ended");
    expect(fenced).toMatchObject({ request: "train", attempt: 1, outcome: "fenced" });
    const { request } = await eventually("it runs elsewhere", async () => {
      const now = await router.client.status({ requestId: "train" });
      return now.request?.attempts === 2 && now.request.startTime !== undefined && now;
    });
    expect(request).toMatchObject({ state: RequestState.PROCESSING, assignedGpu: expect.stringMatching(/other/) });
  });
});
