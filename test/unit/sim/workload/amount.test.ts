import { describe, expect, test } from "@jest/globals";

import { copiesOf, type Rated } from "../../../../src/sim/workload/amount.js";
import type { Amount, ScenarioPart } from "../../../../src/sim/workload/scenario.js";

function rated(name: string, amount: Amount, workRate: number): Rated {
  const part: ScenarioPart = { name, source: `file:/${name}.csv`, type: "batch", users: [], amount, pace: 1, maxWorkMs: Number.POSITIVE_INFINITY, maxGpus: 8, scales: true };
  return { part, workRate };
}

const share = (of: number): Amount => ({ kind: "share", share: of });
const work = (ratio: number, ...of: string[]): Amount => ({ kind: "work", ratio, of });

function copies(name: string, ...all: readonly Rated[]): number {
  const found = all.find(({ part }) => part.name === name);
  if (!found) throw new Error(name);
  return copiesOf(found.part, all, 8);
}

describe("an amount", () => {
  test("is the share itself", () => expect(copies("a", rated("a", share(0.25), 1))).toBe(0.25));

  test("keeps a share of the GPUs busy: a thousand ms a second each", () => {
    expect(copies("a", rated("a", { kind: "gpus", share: 0.5 }, 400))).toBe(10);
  });

  test("of work counts what the other parts have, shares and amounts of their own included", () => {
    const a = rated("a", share(0.5), 100);
    const b = rated("b", work(2, "a"), 10);
    expect(copies("b", a, b)).toBe(10);
    expect(copies("c", a, b, rated("c", work(1, "a", "b"), 50))).toBe(3);
  });
});

describe("is refused with what to do", () => {
  test("of itself, also around others", () => {
    const b = rated("b", work(1, "c"), 1);
    expect(() => copies("b", b, rated("c", work(1, "b"), 1))).toThrow('the amount of the part "b" is said by that of "b", of "c", and that by its own: give one of them a share');
  });

  test("of nothing", () => {
    expect(() => copies("b", rated("a", share(1), 0), rated("b", work(1, "a"), 1))).toThrow('a ratio of the work of "a", which has none');
    expect(() => copies("b", rated("a", share(1), 5), rated("b", work(1, "a"), 0))).toThrow("the requests of file:/b.csv have none, no tokens and no time: give it an amount of kind share");
    expect(() => copies("b", rated("b", { kind: "gpus", share: 1 }, 0))).toThrow("have none");
  });

  test("of too many copies", () => {
    expect(() => copies("b", rated("b", { kind: "gpus", share: 1 }, 0.01))).toThrow('the part "b" would need 800000 copies of file:/b.csv, more than 10000');
    expect(() => copies("b", rated("b", share(1e6), 1))).toThrow("copies");
  });
});
