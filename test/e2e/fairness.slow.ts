// One client floods at 1.3 times what the GPUs can do: with more seeds and the other strategies in the simulator, and through real routers to
// the same GPUs, three times as fast. What is asked and what the words mean is that of test/unit/sim/fairness.test.ts.
import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect } from "@jest/globals";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { DEFAULT_CORE_SETTINGS } from "../../src/core/settings.js";
import { strategies } from "../../src/core/scheduling/registry.js";
import type { Served } from "../unit/sim/fairness-measures.js";
import { fairnessText, findingsOf, floodFor, GPUS, KIND, MODEL, studyFairness, withoutFlood, type FairnessFindings, type FairnessStage } from "../unit/sim/fairness-study.js";
import { FLOODER, M_LARGE, type Sent } from "../unit/sim/flooded-load.js";
import { startAgent, startRouter } from "./harness.js";
import { listAll } from "./replay-check.js";
import { testWith } from "./requirement.js";

const SPEED = 3;
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

  fair.each(strategies(DEFAULT_CORE_SETTINGS).map(({ name }) => name).filter((name) => name !== "hybrid"))(
    "by %s",
    async (strategy) => {
      const stage: FairnessStage = { strategy, seed: 1 };
      judge(stage, await studyFairness(stage));
    },
    120_000,
  );
});

/** Sends it through a router to an agent, and tells by what the router lists when each request came and when its GPU began with it. */
async function served(name: string, sent: readonly Sent[], users: readonly string[], durationMs: number): Promise<Served[]> {
  const router = await startRouter({
    config: { request_router: { request_timeout: 0 }, load_balancer: { place_models: false }, gpu: { multi_gpu: { memory_threshold: 1, utilization_threshold: 1 } } },
  });
  await startAgent({ nodeId: name, router: router.grpcAddress, gpus: GPUS, kind: KIND, speed: SPEED });
  const startedAtMs = performance.now();
  const calls: Promise<unknown>[] = [];
  for (const [row, { atMs, user, inputTokens, outputTokens }] of sent.entries()) {
    const waitMs = startedAtMs + atMs / SPEED - performance.now();
    if (waitMs > 1) await pause(waitMs);
    // How long the answer will be, only the runner reads.
    const value = new TextEncoder().encode(JSON.stringify({ max_tokens: outputTokens, prompt: "" }));
    calls.push(router.client.route({ requestId: `r-${row}`, userId: users[user]!, modelId: MODEL, resourceRequirements: { inputTokens }, payload: { case: "payloadBytes", value } }));
  }
  await Promise.all(calls);
  await pause(Math.max(0, startedAtMs + durationMs / SPEED - performance.now()));
  const listed = await listAll(router.client);
  const infos = sent.map((_, row) => listed.get(`r-${row}`)!);
  const fromMs = timestampMs(infos[0]!.acceptedTime!) - sent[0]!.atMs / SPEED;
  return infos.map(({ acceptedTime, startTime }, row) => ({
    user: sent[row]!.user,
    arrivedAtMs: (timestampMs(acceptedTime!) - fromMs) * SPEED,
    placedAtMs: startTime ? (timestampMs(startTime) - fromMs) * SPEED : Number.POSITIVE_INFINITY,
    costMs: sent[row]!.costMs,
  }));
}

fair(
  "so it is through real routers",
  async () => {
    const stage: FairnessStage = { strategy: "hybrid", seed: 1, minutes: 6 };
    const flood = await floodFor(stage);
    const durationMs = 6 * 60_000;
    const [flooded, calm] = await Promise.all([served("flooded", flood.sent, flood.users, durationMs), served("calm", withoutFlood(flood.sent), flood.users, durationMs)]);
    judge({ ...stage, strategy: "hybrid, real routers" }, findingsOf(stage, flood, flooded, calm));
  },
  600_000,
);
