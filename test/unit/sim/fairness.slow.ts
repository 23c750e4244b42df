// One client floods at 1.3 times what the GPUs can do: who waits gets his share, who asks for little hardly waits; weights count; and without shares
// both figures are far off. More seeds, other strategies and real processes: test/e2e/fairness.slow.ts.
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
