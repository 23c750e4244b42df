import { describe, expect, test } from "@jest/globals";

import { newOutcome, type RequestOutcome } from "../../../../src/cli/replay/outcome.js";
import { ReplaySlos, type ReplaySlo } from "../../../../src/cli/replay/replay-slos.js";
import type { ScheduledRequest } from "../../../../src/cli/replay/schedule.js";
import { unloadedMs } from "../../../../src/simulated-gpu/service-times.js";

const MODEL = "llama-3.1-8b";
const REQUEST: ScheduledRequest = { number: 0, dueMs: 1000, tenant: "u", priority: 0, inputTokens: 1000, outputTokens: 300, prefixHashes: [] };
const SLO: ReplaySlo = { firstOutputMs: 2000, totalFloorMs: 2000, totalFactor: 2.5, gpuKind: "L40S" };

function ended(firstOutputMs: number | null, endedMs: number): RequestOutcome {
  return { ...newOutcome("id", "u", 1000, 0), fate: "completed", firstOutputMs, endedMs };
}

const aloneMs = (outputTokens: number): number => unloadedMs("L40S", MODEL, 1000, outputTokens);

describe("ReplaySlos", () => {
  test("who knows the length wishes for it, others for their usual one, which they learn", () => {
    expect(new ReplaySlos(SLO, MODEL, true).wish(REQUEST)).toEqual({ firstOutputMs: 2000, totalMs: Math.round(2.5 * aloneMs(300)) });
    const slos = new ReplaySlos(SLO, MODEL, false);
    const before = slos.wish(REQUEST).totalMs;
    for (let answer = 0; answer < 500; answer += 1) slos.learn({ ...REQUEST, outputTokens: 600 });
    const after = slos.wish(REQUEST).totalMs;
    expect(before).toBeLessThan(after);
    expect(Math.abs(after / (2.5 * aloneMs(600)) - 1)).toBeLessThan(0.01);
    // Another user's answers are its own.
    expect(slos.wish({ ...REQUEST, tenant: "other" }).totalMs).toBe(before);
  });

  test("judges by the answer's own length, counted from when it was due", () => {
    const slos = new ReplaySlos(SLO, MODEL, false);
    const dueMs = 1000 + Math.round(2.5 * aloneMs(300));
    expect(slos.kept(REQUEST, ended(3000, dueMs))).toBe(true);
    expect(slos.kept(REQUEST, ended(3001, dueMs))).toBe(false);
    expect(slos.kept(REQUEST, ended(3000, dueMs + 1))).toBe(false);
    expect(slos.kept(REQUEST, ended(null, dueMs))).toBe(false);
  });

  test("the larger of floor and factor counts; what is not wished for is neither told nor judged", () => {
    const short = { ...REQUEST, inputTokens: 1, outputTokens: 1 };
    expect(new ReplaySlos(SLO, MODEL, true).wish(short)).toEqual({ firstOutputMs: 2000, totalMs: 2000 });
    const firstOnly = new ReplaySlos({ ...SLO, totalFloorMs: 0, totalFactor: 0 }, MODEL, true);
    expect(firstOnly.wish(REQUEST)).toEqual({ firstOutputMs: 2000, totalMs: 0 });
    expect(firstOnly.kept(REQUEST, ended(3000, 1e9))).toBe(true);
    const totalOnly = new ReplaySlos({ ...SLO, firstOutputMs: 0, totalFactor: 0 }, MODEL, true);
    expect(totalOnly.wish(REQUEST)).toEqual({ firstOutputMs: 0, totalMs: 2000 });
    expect(totalOnly.kept(REQUEST, ended(null, 3000))).toBe(true);
    expect(totalOnly.kept(REQUEST, ended(null, 3001))).toBe(false);
  });

  test("no first output is wished for later than the end: the contract refuses that", () => {
    expect(new ReplaySlos({ ...SLO, firstOutputMs: 5000, totalFactor: 0 }, MODEL, true).wish(REQUEST)).toEqual({ firstOutputMs: 2000, totalMs: 2000 });
  });
});
