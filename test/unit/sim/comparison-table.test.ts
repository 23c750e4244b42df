import { describe, expect, test } from "@jest/globals";

import { compareMarkdown, comparisonLine } from "../../../src/cli/simulate/compare-markdown.js";
import { verdicts } from "../../../src/sim/comparison-table.js";
import type { Comparison, Duel, PolicyGoodput } from "../../../src/sim/comparison.js";
import { figuresOf, type Figures } from "../../../src/sim/figures.js";
import { measure } from "../../../src/sim/measure.js";
import { madeRun } from "./made-run.js";

const BASE = figuresOf(measure(madeRun([{ tenant: 0, at: 0, placed: 0, first: 1, ended: 2, outcome: "completed", inSlo: true }]), 10_000));

function figures(policy: string, load: number, meanMs: number, p95Ms: number, p99Ms: number): Figures {
  return { ...BASE, policy, load, response: { meanMs, p50Ms: meanMs, p95Ms: meanMs, p99Ms: meanMs }, firstOutput: { meanMs: p95Ms, p50Ms: p95Ms, p95Ms, p99Ms }, busyShare: 0.85 };
}

function found(policy: string, load: number): PolicyGoodput {
  return { policy, load, figures: load === 0 ? null : figures(policy, load, 1000, 1000, 1000) };
}

function duel(policy: string, load: number, ours: readonly [number, number, number]): Duel {
  return { rival: found(policy, load), hybrid: load === 0 ? null : figures("hybrid", load, ...ours) };
}

function comparison(scenario: string, hybrid: number, plain: number, peer: number): Comparison {
  return {
    scenario,
    title: scenario,
    seeds: [1, 2],
    durationMs: 60_000,
    fluidBound: 10,
    hybrid: found("hybrid", hybrid),
    leastLoaded: duel("least_loaded@1/4", plain, [500, 300, 1001]),
    bestPeer: duel("least_outstanding", peer, [790, 750, 1000]),
    peers: [{ policy: "least_outstanding", load: peer }],
    gpusFor: [
      { load: 1, hybrid: 8, leastLoaded: plain === 0 ? null : 32, bestPeer: 10 },
      { load: 2.5, hybrid: 15, leastLoaded: plain === 0 ? null : 80, bestPeer: 20 },
    ],
    ablations: [],
  };
}

const MAIN = comparison("main", 5, 1, 3.5);

function row(all: ReturnType<typeof verdicts>, what: string, against: string): ReturnType<typeof verdicts>[number] | undefined {
  return all.find((each) => each.what === what && each.against === against);
}

describe("the table of what was promised", () => {
  const table = verdicts([MAIN, comparison("floods", 4, 2.5, 4.2), comparison("slow", 4, 0, 3)]);

  test.each([
    ["goodput", "least_loaded", "5.00x", true, "main"],
    ["goodput", "best_peer", "1.43x", true, "main"],
    ["goodput, worst scenario", "least_loaded", "1.60x", false, "floods"],
    ["goodput, worst scenario", "best_peer", "0.95x", false, "floods"],
    ["mean response at equal load", "least_loaded", "−50 %", true, "main"],
    ["mean response at equal load", "best_peer", "−21 %", true, "main"],
    ["first output p95 at equal load", "least_loaded", "−70 %", true, "main"],
    ["first output p99 at equal load", "least_loaded", "+0 %", false, "main"],
    ["first output p99 at equal load", "best_peer", "−0 %", true, "main"],
    ["GPUs for load 1 within the SLO", "least_loaded", "−75 %", true, "main"],
    ["GPUs for load 1 within the SLO", "best_peer", "−20 %", false, "main"],
    ["GPUs for load 2.5 within the SLO", "least_loaded", "−81 %", true, "main"],
    ["GPUs for load 2.5 within the SLO", "best_peer", "−25 %", true, "main"],
    ["GPUs busy at the goodput", "fleet", "85 %", true, "main"],
    ["share of the fluid bound", "fleet", "50 %", true, "main"],
  ])("%s against %s is %s", (what, against, measured, reached, scenario) => {
    expect(row(table, what, against)).toMatchObject({ measured, reached, scenario });
  });

  test("a rival that carries nothing leaves nothing to divide by, and is not counted as reached", () => {
    const alone = verdicts([comparison("slow", 4, 0, 3)]);
    expect(row(alone, "goodput", "least_loaded")).toMatchObject({ measured: "-", value: null, reached: null });
    expect(row(alone, "GPUs for load 1 within the SLO", "least_loaded")).toMatchObject({ reached: null });
  });
});

describe("the comparison as Markdown", () => {
  const text = compareMarkdown([{ ...MAIN, ablations: [found("hybrid-placement", 2.5)] }, comparison("slow", 4, 0, 3)]);

  test("every table has as many cells in each line as in its head", () => {
    const tables = text.split("\n\n").filter((part) => part.startsWith("|"));
    expect(tables).toHaveLength(6);
    for (const table of tables) expect(new Set(table.trim().split("\n").map((line) => line.split(" | ").length)).size).toBe(1);
  });

  test("says what was not reached, spreads, batch and p99 beside each, and what each piece is worth", () => {
    expect(text).toContain("| first output p99 at equal load | LEAST_LOADED, batch isolated | not worse | +0 % | **not reached** | main |");
    expect(text).toMatch(/\| main \| 5 \| 100% ± 0% \| .* \| 1 \(5\.00x\) \| 3\.5 \(1\.43x\) \| least_outstanding \| 50\.0% \|/);
    expect(text).toMatch(/\| placement \| 2\.5 \| 50\.0% \|/);
    expect(comparisonLine(MAIN)).toBe("main: hybrid 5, least_loaded 1 (5.00x), best peer least_outstanding 3.5 (1.43x), 50.0% of the fluid bound\n");
  });

  test("nothing compared is said", () => expect(compareMarkdown([])).toMatch(/Nothing/));
});
