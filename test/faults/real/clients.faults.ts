// Clients that disappear in the middle of things: what they sent is done, nothing is kept for them.
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "@jest/globals";
import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { connectRouter } from "../../../src/api/client.js";
import { startProxy } from "../../e2e/cuttable-proxy.js";
import { eventually, startRouter, TestProcess } from "../../e2e/harness.js";
import { KILLS_CONFIG, startWorkers, unexpectedTrouble } from "./fleet.js";

test("clients that are killed while they send and watch: what was accepted ends once, the others notice nothing", async () => {
  const router = await startRouter({ config: KILLS_CONFIG });
  await startWorkers(router.grpcAddress, 2);
  const clients = ["a", "b", "c"].map((name) => {
    const client = new TestProcess(`client ${name}`, ["route", "--router", router.grpcAddress, "--model", "m", "--id", name, "--expected-duration", "4s", "--wait"]);
    return { name, client };
  });
  for (const { name, client } of clients) {
    await eventually(`${name} is accepted`, async () => (await router.client.status({ requestId: name })).request);
    await client.kill();
  }
  for (const { name } of clients) await eventually(`${name} completes`, async () => (await router.client.status({ requestId: name })).request?.state === RequestState.COMPLETED);
  expect((await router.client.list({})).requests.map(({ attempts }) => attempts)).toEqual([1, 1, 1]);
  expect(unexpectedTrouble([router.process])).toEqual([]);
});

test("a client behind a dead network that watches hundreds: the router goes on, and lets it go in the end", async () => {
  const router = await startRouter({ config: KILLS_CONFIG });
  await startWorkers(router.grpcAddress, 2);
  const wire = await startProxy(router.grpcAddress);
  const distant = connectRouter(wire.address);
  const ids = Array.from({ length: 300 }, (_, index) => `r-${index}`);
  const seen = new Set<string>();
  for (const requestId of ids) {
    await distant.route({ requestId, modelId: "m", timeoutMs: 3_600_000n, resourceRequirements: { expectedDurationMs: 1_000n } });
    void (async () => {
      for await (const { event } of distant.watch({ requestId })) if (event.case === "request") seen.add(requestId);
    })().catch(() => {});
  }
  await eventually("all are watched", () => seen.size === ids.length);
  wire.freeze();
  await pause(500);
  for (const requestId of ids) await eventually(`${requestId} completes`, async () => (await router.client.status({ requestId })).request?.state === RequestState.COMPLETED, 30_000);
  distant.close();
  wire.cut();
  expect(await router.process.stop()).toBe(0);
  expect(unexpectedTrouble([router.process])).toEqual([]);
});
