import { describe, expect, test } from "@jest/globals";
import { hash32, seededRandom } from "../../../src/lib/random.js";

describe("hash32", () => {
  test.each([
    ["", 0x811c9dc5],
    ["a", 0xe40c292c],
    ["foobar", 0xbf9cf968],
  ])("of %j is the published FNV-1a value", (text, expected) => {
    expect(hash32(text)).toBe(expected);
  });

  test("goes on from a basis", () => {
    expect(hash32("bar", hash32("foo"))).toBe(hash32("foobar"));
  });
});

describe("seededRandom", () => {
  test("repeats itself for the same seed and differs for another", () => {
    const draw = (seed: number): number[] => Array.from({ length: 5 }, seededRandom(seed));
    expect(draw(42)).toEqual(draw(42));
    expect(draw(42)).not.toEqual(draw(43));
  });

  test("spreads evenly over [0, 1)", () => {
    const random = seededRandom(1);
    const buckets = new Int32Array(10);
    for (let draw = 0; draw < 100_000; draw += 1) buckets[Math.floor(random() * 10)]! += 1;
    for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });
});
