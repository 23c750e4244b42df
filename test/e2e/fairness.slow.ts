// One client floods at 1.3 times what the GPUs can do: with more seeds and the other strategies in the simulator, and through real routers to
// the same GPUs, twice as fast. What is asked and what the words mean is that of test/unit/sim/fairness.slow.ts.
import { existsSync } from "node:fs";
import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect } from "@jest/globals";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Served } from "../unit/sim/fairness-measures.js";
import { fairnessText, findingsOf, floodFor, GPUS, KIND, MODEL, studyFairness, withoutFlood, type FairnessFindings, type FairnessStage } from "../unit/sim/fairness-study.js";
import { FLOODER, M_LARGE, type Sent } from "../unit/sim/flooded-load.js";
import { eventually, startAgent, startRouter } from "./harness.js";
import { listAll } from "./replay-check.js";
import { testWith } from "./requirement.js";

const SPEED = 2;
/** Where 1 % of the requests are sent later than this, the machine is too busy with other things to measure anything, ms. */
const MOST_LATE_MS = 60;
const TRIES = 3;
/** For what is in line when the last request has come, as long as all of them took to come. */
const DRAIN_MS = 120_000;
const fair = testWith(existsSync(M_LARGE), `${M_LARGE} is not there: fairness on a real service's load`);

function judge(stage: FairnessStage, findings: FairnessFindings): void {
  process.stderr.write(`${fairnessText(stage, findings)}\n`);
  for (const minute of findings.minutes) {
    expect(minute.backlogged).toContain(FLOODER);
    expect(minute.backlogged.length).toBeGreaterThan(1);
    expect(minute.jain).toBeGreaterThanOrEqual(0.95);
  }
  expect(findings.p95FloodedMs).toBeLessThanOrEqual(2 * findings.p95CalmMs);
}

describe("in the simulator, whoever waits is given what the others who wait are, and a flood makes light users wait at most twice as long", () => {
  fair.each([1, 2, 3, 4, 5])(
    "with seed %d",
    async (seed) => {
      const stage: FairnessStage = { strategy: "hybrid", seed };
      judge(stage, await studyFairness(stage));
    },
    120_000,
  );

  // Shares are the queue's, before any strategy is asked: three that have nothing else in common.
  fair.each(["least_loaded", "weighted", "power_of_two"])(
    "by %s",
    async (strategy) => {
      const stage: FairnessStage = { strategy, seed: 1 };
      judge(stage, await studyFairness(stage));
    },
    120_000,
  );
});

/**
 * Sends it through a router to an agent, and tells by what the router lists when each request came and when its GPU began with it; and how late
 * it was sent, ms (p99).
 */
async function served(name: string, sent: readonly Sent[], users: readonly string[]): Promise<{ readonly requests: readonly Served[]; readonly lateMs: number }> {
  const router = await startRouter({
    config: { request_router: { request_timeout: 0 }, load_balancer: { place_models: false }, gpu: { multi_gpu: { memory_threshold: 1, utilization_threshold: 1 } } },
  });
  const agent = await startAgent({ nodeId: name, router: router.grpcAddress, gpus: GPUS, kind: KIND, speed: SPEED });
  const startedAtMs = performance.now();
  const calls: Promise<unknown>[] = [];
  const lateMs: number[] = [];
  for (const [row, { atMs, user, inputTokens, outputTokens }] of sent.entries()) {
    const waitMs = startedAtMs + atMs / SPEED - performance.now();
    if (waitMs > 1) await pause(waitMs);
    lateMs.push(performance.now() - startedAtMs - atMs / SPEED);
    // How long the answer will be, only the runner reads.
    const value = new TextEncoder().encode(JSON.stringify({ max_tokens: outputTokens, prompt: "" }));
    calls.push(router.client.route({ requestId: `r-${row}`, userId: users[user]!, modelId: MODEL, resourceRequirements: { inputTokens }, payload: { case: "payloadBytes", value } }));
  }
  await Promise.all(calls);
  await eventually("everything has ended", async () => ((await (await fetch(`${router.httpUrl}/health`)).json()) as { readonly live_requests: number }).live_requests === 0, DRAIN_MS);
  const listed = await listAll(router.client);
  const infos = sent.map((_, row) => listed.get(`r-${row}`)!);
  const fromMs = timestampMs(infos[0]!.acceptedTime!) - sent[0]!.atMs / SPEED;
  const requests = infos.map(({ acceptedTime, startTime }, row) => ({
    user: sent[row]!.user,
    arrivedAtMs: (timestampMs(acceptedTime!) - fromMs) * SPEED,
    placedAtMs: (timestampMs(startTime!) - fromMs) * SPEED,
    costMs: sent[row]!.costMs,
  }));
  // For the next one the machine is to be idle again.
  for (const each of [agent, router.process]) await each.stop();
  return { requests, lateMs: lateMs.sort((a, b) => a - b)[Math.floor(lateMs.length * 0.99)]! };
}

fair(
  "so it is through real routers",
  async () => {
    const stage: FairnessStage = { strategy: "hybrid", seed: 1, minutes: 6 };
    const flood = await floodFor(stage);
    for (let tries = 1; tries <= TRIES; tries += 1) {
      const [flooded, calm] = await Promise.all([served("flooded", flood.sent, flood.users), served("calm", withoutFlood(flood.sent), flood.users)]);
      const findings = findingsOf(stage, flood, flooded.requests, calm.requests);
      const lateMs = Math.max(flooded.lateMs, calm.lateMs);
      if (lateMs <= MOST_LATE_MS) {
        judge({ ...stage, strategy: "hybrid, real routers" }, findings);
        return;
      }
      process.stderr.write(`sent p99 ${lateMs.toFixed(0)} ms late, load average ${loadavg()[0]?.toFixed(1)}, not judged: ${fairnessText(stage, findings)}\n`);
    }
    throw new Error(`This machine was too busy with other things ${TRIES} times: nothing could be measured.`);
  },
  TRIES * 600_000,
);
