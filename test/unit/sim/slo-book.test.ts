import { expect, test } from "@jest/globals";
import { SloBook } from "../../../src/sim/slo-book.js";
import type { Arrival, TenantSlo } from "../../../src/sim/workload/arrival.js";

const ARRIVAL: Arrival = { atMs: 1_000, tenant: 0, inputTokens: 1_000, outputTokens: 300, prefixHashes: [], sessionKey: "", gpus: 1, workMs: 0 };
const book = (slo: TenantSlo | null): SloBook => new SloBook([{ name: "t", modelId: "llama-3.1-8b", type: "inference", priority: 3, slo }], ["L40S"]);

test("an SLO is kept when both the first output and the end are in time", () => {
  const both = book({ firstOutputMs: 500, totalFloorMs: 60_000, totalFactor: 0 });
  expect(both.wish(ARRIVAL)).toEqual({ firstOutputMs: 500, totalMs: 60_000 });
  expect([both.kept(ARRIVAL, 1_500, 61_000), both.kept(ARRIVAL, 1_501, 61_000), both.kept(ARRIVAL, 1_500, 61_001)]).toEqual([true, false, false]);
});

test("0 is no wish: neither told nor judged", () => {
  const endOnly = book({ firstOutputMs: 0, totalFloorMs: 60_000, totalFactor: 0 });
  expect(endOnly.wish(ARRIVAL)).toEqual({ firstOutputMs: 0, totalMs: 60_000 });
  expect([endOnly.kept(ARRIVAL, 50_000, 61_000), endOnly.kept(ARRIVAL, 50_000, 61_001)]).toEqual([true, false]);
  const firstOnly = book({ firstOutputMs: 500, totalFloorMs: 0, totalFactor: 0 });
  expect(firstOnly.wish(ARRIVAL)).toEqual({ firstOutputMs: 500, totalMs: 0 });
  expect([firstOnly.kept(ARRIVAL, 1_500, 1e9), firstOnly.kept(ARRIVAL, 1_501, 1e9)]).toEqual([true, false]);
});

test("who has none wishes for nothing, and keeps none", () => {
  expect([book(null).wish(ARRIVAL), book(null).kept(ARRIVAL, 1_000, 1_000)]).toEqual([null, false]);
});
