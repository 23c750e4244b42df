// A limit on requests at once, on real processes: a thousand calls at the same time, a router that is killed among them, and never one
// attempt too many. What runs is counted where it runs, from what the agent logs in its own order; what the router recorded is counted beside it.
import { expect, test } from "@jest/globals";
import { status, type ServiceError } from "@grpc/grpc-js";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { RequestState, type RequestInfo } from "../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../src/api/client.js";
import { attemptEnds, connectedTo, eventually, startAgent, startRouter, type LogLine, type TestProcess } from "./harness.js";

const REQUESTS = 1_000;
const LIMIT = 7;
const USER = "alice";
/** How many have ended when the router is killed. */
const KILL_AFTER = 300;
const ALL_DONE_MS = 45_000;

/** Sends a request until it is answered; the same again is the same request. */
async function routeSurely(client: RouterClient, requestId: string): Promise<void> {
  await eventually(`${requestId} is accepted`, async () => {
    try {
      await client.route({ requestId, userId: USER, modelId: "m", resourceRequirements: { expectedDurationMs: 300n } });
      return true;
    } catch (error) {
      // A router that was killed gives no other answer; any other is a failure of this test.
      if ((error as ServiceError).code === status.UNAVAILABLE) return false;
      throw error;
    }
  }, ALL_DONE_MS);
}

/** The most attempts at once on an agent, in the order in which it received and ended them. */
function mostRunning(agent: TestProcess): number {
  let [running, most] = [0, 0];
  for (const { msg } of agent.logged) {
    if (msg === "attempt received") most = Math.max(most, (running += 1));
    if (msg === "attempt ended") running -= 1;
  }
  expect(running).toBe(0);
  return most;
}

/** The most of [start, completion) that overlap. */
function mostOverlapping(requests: readonly RequestInfo[]): number {
  const changes = requests.flatMap(({ startTime, completionTime }) => [{ atMs: timestampMs(startTime!), by: 1 }, { atMs: timestampMs(completionTime!), by: -1 }]);
  // At the same millisecond one leaves before another comes.
  changes.sort((a, b) => a.atMs - b.atMs || a.by - b.by);
  let [running, most] = [0, 0];
  for (const { by } of changes) most = Math.max(most, (running += by));
  return most;
}

async function activeOn(client: RouterClient): Promise<number> {
  return (await client.gpuStatus({})).gpus.reduce((sum, { activeRequests }) => sum + activeRequests, 0);
}

const hasEnded = ({ msg }: LogLine): boolean => msg === "attempt ended";

test("a thousand calls at once against a limit of seven, with kill -9 among them: never more than seven run, and all end once", async () => {
  const router = await startRouter({ config: { user_quota_manager: { mode: "enforce" } } });
  const subject = { case: "userId", value: USER } as const;
  await router.client.quotas.setQuota({ subject, limits: { concurrentRequestsLimit: BigInt(LIMIT), gpuLimit: 0n } });
  // Room for many times seven.
  const agent = await startAgent({ nodeId: "node-a", router: router.grpcAddress, gpus: 2 * LIMIT, speed: 20, logLevel: "debug" });
  const ids = Array.from({ length: REQUESTS }, (_, index) => `r-${index}`);
  const accepted = Promise.all(ids.map((requestId) => routeSurely(router.client, requestId)));

  let mostShown = 0;
  await eventually("enough of them have ended", async () => {
    mostShown = Math.max(mostShown, await activeOn(router.client));
    return agent.logged.filter(hasEnded).length >= KILL_AFTER;
  }, ALL_DONE_MS);
  await router.process.kill();
  expect(agent.logged.filter(hasEnded).length).toBeLessThan(REQUESTS - LIMIT);
  const { client, epoch } = await router.restart();
  // What is set for a user outlives the router that was told.
  expect((await client.quotas.getQuota({ subject })).quota?.quotas?.concurrentRequests?.limit).toBe(BigInt(LIMIT));
  await connectedTo(agent, epoch);
  await accepted;

  const all = await eventually("all of them end", async () => {
    mostShown = Math.max(mostShown, await activeOn(client));
    const { requests } = await client.list({ pageSize: REQUESTS, userId: USER });
    return requests.every(({ completionTime }) => completionTime !== undefined) && requests;
  }, ALL_DONE_MS);
  expect(all.map(({ requestId }) => requestId).toSorted()).toEqual(ids.toSorted());
  expect(all.filter(({ state }) => state !== RequestState.COMPLETED)).toEqual([]);
  const succeeded = attemptEnds([agent]).filter(({ outcome }) => outcome === "succeeded").map(({ request }) => request);
  expect(succeeded.toSorted()).toEqual(ids.toSorted());

  expect({ running: mostRunning(agent), recorded: mostOverlapping(all) }).toEqual({ running: LIMIT, recorded: LIMIT });
  expect(mostShown).toBeLessThanOrEqual(LIMIT);
  const { quota } = await client.quotas.getQuota({ subject });
  expect(quota?.quotas?.concurrentRequests).toMatchObject({ used: 0n, remaining: BigInt(LIMIT) });
  expect(quota?.rateLimits?.requestsPerDay?.used).toBe(BigInt(REQUESTS));
  expect((await client.quotas.listUsage({ userId: USER })).users).toMatchObject([{ requests: BigInt(REQUESTS), completed: BigInt(REQUESTS), failed: 0n, cancelled: 0n }]);
}, 120_000);
