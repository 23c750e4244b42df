// The statistics that were measured on the traces independently of this code, reproduced from what the sources yield.
import { describe, expect } from "@jest/globals";

import { align } from "../../../../src/sim/workload/align.js";
import { mergeInOrder } from "../../../../src/sim/workload/merge.js";
import { openSource, type SourceName } from "../../../../src/sim/workload/sources.js";
import { TRACES, testWithTraces } from "./real-traces.js";
import { statisticsOf, type ArrivalStatistics } from "./arrival-statistics.js";

type Row = readonly [count: number, mean: number, peakSecond: number, peakMinute: number, cv: number, input: readonly number[], output: readonly number[]];

async function statistics(...names: SourceName[]): Promise<ArrivalStatistics> {
  const sources = await Promise.all(names.map((name) => openSource(name, TRACES)));
  const leads = align(sources.map(({ startMs }) => startMs));
  return statisticsOf(mergeInOrder(sources.map((source, index) => source.stream(leads[index]?.leadMs ?? 0, source.spanMs).requests(1))));
}

function expectRow(seen: ArrivalStatistics, [count, mean, peakSecond, peakMinute, cv, input, output]: Row): void {
  expect(seen.count).toBe(count);
  expect(seen.meanPerSecond).toBeCloseTo(mean, 1);
  expect(seen.peakSecond).toBe(peakSecond);
  expect(seen.peakMinutePerSecond).toBeCloseTo(peakMinute, 1);
  expect(seen.cv).toBeCloseTo(cv, 2);
  // Percentiles were interpolated there, and are values of the trace here.
  for (const [tokens, published] of [[seen.inputTokens, input], [seen.outputTokens, output]] as const) {
    for (const [index, value] of [tokens.p50, tokens.p90, tokens.p99].entries()) expect(Math.abs(value - (published[index] ?? 0))).toBeLessThanOrEqual(Math.max(1, 0.002 * value));
  }
}

describe("as published", () => {
  testWithTraces("Azure conversations", async () => expectRow(await statistics("azure-conv"), [19_366, 5.53, 16, 8.45, 1.09, [1020, 2735, 4142], [129, 424, 601]]));
  testWithTraces("Azure code", async () => expectRow(await statistics("azure-code"), [8819, 2.57, 67, 10.53, 13.15, [1469, 5188, 7436], [13, 55, 251]]));
  testWithTraces("both Azure traces on their common clock", async () => expectRow(await statistics("azure-conv", "azure-code"), [28_185, 8.02, 66, 14.23, 1.33, [1046, 4073, 7435], [90, 413, 581]]));

  testWithTraces("Mooncake, each time spread over its 3 s by any seed", async () => {
    const source = await openSource("mooncake", TRACES);
    for (const seed of [1, 2, 3]) {
      const seen = statisticsOf(source.stream(0, source.spanMs).requests(seed));
      expect(seen.count).toBe(12_031);
      expect(seen.meanPerSecond).toBeCloseTo(3.4, 1);
      expect(Math.abs(seen.peakSecond - 13)).toBeLessThanOrEqual(2);
      expect(Math.abs(seen.peakMinutePerSecond - 4.05)).toBeLessThan(0.2);
      expect(Math.abs(seen.cv - 1.02)).toBeLessThan(0.03);
      expect([seen.inputTokens.p50, seen.inputTokens.p90, seen.outputTokens.p50, seen.outputTokens.p90]).toEqual([6909, 27_367, 350, 597]);
    }
  });

  testWithTraces("all of Mooncake's prompts share their first block and have one for each begun 512 tokens", async () => {
    const source = await openSource("mooncake", TRACES);
    const requests = [...source.stream(0, source.spanMs).requests(1)];
    expect(new Set(requests.map(({ prefixHashes }) => prefixHashes[0]))).toEqual(new Set([0]));
    expect(requests.every(({ prefixHashes, inputTokens }) => prefixHashes.length === Math.ceil(inputTokens / 512))).toBe(true);
  });
});
