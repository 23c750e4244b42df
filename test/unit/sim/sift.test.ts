import { describe, expect, test } from "@jest/globals";

import { sift } from "../../../src/sim/sift.js";

/** Policies by what they carry; being asked is counted. */
function field(limits: Readonly<Record<string, number>>): { readonly names: string[]; readonly marginOf: (name: string, load: number) => Promise<number>; readonly asked: Map<string, number> } {
  const asked = new Map<string, number>();
  return {
    names: Object.keys(limits),
    asked,
    marginOf: async (name, load) => {
      asked.set(name, (asked.get(name) ?? 0) + 1);
      return limits[name]! / load;
    },
  };
}

const MANY = field(Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`p${index}`, 0.5 + index * 0.1])));

describe("the sieve", () => {
  test.each([0.05, 0.7, 2, 3.3, 50])("has the best three first, from a guess of %d", async (guess) => {
    const { names, marginOf } = MANY;
    const sifted = await sift(names, marginOf, { finalists: 3, guess });
    expect(sifted.slice(0, 3).map(({ policy }) => policy).sort()).toEqual(["p27", "p28", "p29"]);
    expect(sifted).toHaveLength(30);
  });

  test("asks those who are soon out once", async () => {
    const { names, marginOf, asked } = field({ best: 9, good: 8, fair: 7, poor: 1, worse: 0.5 });
    const sifted = await sift(names, marginOf, { finalists: 3, guess: 3 });
    expect([asked.get("poor"), asked.get("worse")]).toEqual([1, 1]);
    expect(sifted.at(-1)).toMatchObject({ policy: "worse", load: 0 });
  });

  test("tells those of one load apart by how near they came to the next", async () => {
    const { names, marginOf } = field({ a: 3.05, b: 3.2, c: 3.1, d: 3.15 });
    expect((await sift(names, marginOf, { finalists: 1, guess: 3 })).map(({ policy }) => policy)).toEqual(["b", "d", "c", "a"]);
  });

  test("ends when nobody carries anything, and with fewer candidates than finalists", async () => {
    const { names, marginOf } = field({ a: 0.001, b: 0.002 });
    expect(await sift(names, marginOf, { finalists: 3, guess: 1 })).toMatchObject([{ policy: "b", load: 0 }, { policy: "a", load: 0 }]);
    expect(await sift([], marginOf, { finalists: 3, guess: 1 })).toEqual([]);
  });
});
