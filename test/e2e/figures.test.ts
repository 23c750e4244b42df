// The comparison of real and simulated runs, on figures whose verdict is plain.
import { describe, expect, test } from "@jest/globals";
import { agrees, compared, comparisonTable, misranked, type Compared, type Figures } from "./figures.js";

const figures = (mean: number, first = 1000, attainment = 90): Figures => ({ "mean response, ms": mean, "first output p95, ms": first, "attainment, %": attainment });
const one = (real: number, ...simulated: number[]): Compared => compared("s", figures(real), simulated.map((mean) => figures(mean)))[0]!;

describe("agrees", () => {
  test("up to the tolerance off the mean of the simulated runs, either way", () => {
    expect([1149, 1151, 851, 849].map((real) => agrees(one(real, 990, 1010), 0.15))).toEqual([true, false, true, false]);
  });

  test("or as far as one more of six simulated runs may come", () => {
    // Their standard deviation is 100.
    const runs = [850, 900, 1000, 1000, 1100, 1150].map((value) => 1000 + (value - 1000) * (100 / Math.sqrt(13_000)));
    expect([1434, 1436, 566, 564].map((real) => agrees(one(real, ...runs), 0.15))).toEqual([true, false, true, false]);
  });

  test("what was not measured agrees with nothing", () => {
    expect(agrees(one(Number.NaN, 1000), 0.15)).toBe(false);
  });
});

describe("misranked", () => {
  const pair = (realA: number, realB: number, b: readonly number[]): string[] =>
    misranked([...compared("a", figures(realA), [figures(1000), figures(1100)]), ...compared("b", figures(realB), b.map((mean) => figures(mean)))]);

  test("names those that the simulator tells apart and that came out the other way round", () => {
    expect(pair(1000, 2000, [1900, 2000])).toEqual([]);
    expect(pair(1500, 1400, [1900, 2000])).toEqual(["mean response, ms: a and b"]);
  });

  test("says nothing of those whose simulated runs overlap", () => {
    expect(pair(1500, 1400, [1090, 1200])).toEqual([]);
  });
});

test("the table has a row for each figure, with its difference", () => {
  expect(comparisonTable(compared("s", figures(1100, 500, 91), [figures(900), figures(1100)]))).toBe(
    [
      "| strategy | figure | real | simulated | of simulated runs | difference |",
      "|---|---|--:|--:|---|--:|",
      "| `s` | mean response, ms | 1100 | 1000 | 900 to 1100 | +10.0 % |",
      "| `s` | first output p95, ms | 500 | 1000 | 1000 to 1000 | −50.0 % |",
      "| `s` | attainment, % | 91.0 | 90.0 | 90.0 to 90.0 | +1.1 % |",
    ].join("\n"),
  );
});
