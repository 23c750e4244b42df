// What makes the fairness test worth something: weights count, and without shares both of its figures are far off.
import { expect } from "@jest/globals";
import { WaitingQueue } from "../../../src/core/queue/waiting-queue.js";
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
  "of two who wait, the one with twice the weight is given twice as much",
  async () => {
    const { minutes, given } = await study({ strategy: "hybrid", seed: 2, weights: [2] });
    // The second busiest client has more in line than he can be given, too.
    for (const minute of minutes) expect([minute.backlogged, minute.jain >= 0.95]).toEqual([[FLOODER, 1], true]);
    expect(given[FLOODER]! / given[1]!).toBeGreaterThan(1.8);
    expect(given[FLOODER]! / given[1]!).toBeLessThan(2.2);
  },
  LONG_MS,
);

testWithTraces(
  "the measures tell when nobody's share counts",
  async () => {
    const { charge, settle } = WaitingQueue.prototype;
    WaitingQueue.prototype.charge = WaitingQueue.prototype.settle = () => undefined;
    try {
      const { minutes, p95FloodedMs, p95CalmMs } = await study({ strategy: "hybrid", seed: 1 });
      expect(Math.max(...minutes.slice(1).map((minute) => minute.jain))).toBeLessThan(0.9);
      expect(p95FloodedMs).toBeGreaterThan(20 * p95CalmMs);
    } finally {
      Object.assign(WaitingQueue.prototype, { charge, settle });
    }
  },
  LONG_MS,
);
