// One client floods at 1.3 times what the GPUs can do: who waits gets his share, who asks for little hardly waits. Weights and
// the control: fairness-control.slow.ts; more seeds, the other strategies and real processes: test/e2e/fairness.slow.ts.
import { describe, expect, test } from "@jest/globals";
import { backlogged, jain, lightUsers, p95WaitMs, type Served } from "./fairness-measures.js";
import { fairnessText, studyFairness, type FairnessFindings, type FairnessStage } from "./fairness-study.js";
import { FLOODER } from "./flooded-load.js";
import { testWithTraces } from "./workload/real-traces.js";

const LONG_MS = 120_000;

async function study(stage: FairnessStage): Promise<FairnessFindings> {
  const findings = await studyFairness(stage);
  process.stderr.write(`${fairnessText(stage, findings)}\n`);
  return findings;
}

testWithTraces(
  "whoever waits is given what the others who wait are, and a flood makes light users wait at most twice as long",
  async () => {
    const { minutes, light, lightRequests, p95FloodedMs, p95CalmMs } = await study({ strategy: "hybrid", seed: 1 });
    expect(light.length).toBeGreaterThan(20);
    expect(lightRequests).toBeGreaterThan(1_000);
    for (const minute of minutes) {
      expect(minute.backlogged).toContain(FLOODER);
      expect(minute.backlogged.length).toBeGreaterThan(1);
      expect(minute.jain).toBeGreaterThanOrEqual(0.95);
    }
    expect(p95FloodedMs).toBeLessThanOrEqual(2 * p95CalmMs);
  },
  LONG_MS,
);

describe("the measures", () => {
  const one = (user: number, arrivedAtMs: number, placedAtMs: number): Served => ({ user, arrivedAtMs, placedAtMs, costMs: 1 });

  test.each([
    [[5, 5, 5], 1],
    [[9, 0, 0], 1 / 3],
    [[2, 1], 0.9],
  ])("Jain's index of %j is %d", (values, expected) => expect(jain(values)).toBeCloseTo(expected, 12));

  test("backlogged is who has something in line without a gap, whichever requests that are", () => {
    expect(backlogged([one(0, 0, 15), one(0, 12, 30), one(1, 0, 15), one(1, 16, 30), one(2, 9, Number.POSITIVE_INFINITY), one(3, 11, 30)], 4, 10, 20)).toEqual([0, 2]);
  });

  test("light is who asks for less than an equal share; who asks for nothing is nobody", () => {
    expect(lightUsers([10, 1, 0, 3, 4], 16)).toEqual([1, 3]);
  });

  test("the p95 of twenty waits is the nineteenth, of those alone that came in time", () => {
    const waits = Array.from({ length: 20 }, (_, index) => one(0, 100, 100 + 20 - index));
    expect(p95WaitMs([...waits, one(0, 50, 999), one(1, 100, 999)], [0], 100, 200)).toBe(19);
  });
});
