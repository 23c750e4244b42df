import { expect, test } from "@jest/globals";
import { RankSet } from "../../../src/lib/rank-set.js";
import { seededRandom } from "../../../src/lib/random.js";

test("counts what is below, across words and blocks", () => {
  const set = new RankSet();
  const values = [0, 1, 31, 32, 63, 64, 1_023, 1_024, 5_000, 2 ** 40];
  for (const value of values) set.add(value);
  values.forEach((value, rank) => expect([value, set.below(value)]).toEqual([value, rank]));
  expect([set.below(2), set.below(1_025), set.below(2 ** 41), set.size]).toEqual([2, 8, 10, 10]);
});

test("agrees with a plain set while a window of numbers moves upwards", () => {
  const random = seededRandom(13);
  const set = new RankSet();
  const model = new Set<number>();
  for (let value = 1; value <= 6_000; value += 1) {
    set.add(value);
    model.add(value);
    for (const old of model) {
      if (random() < 0.6) break;
      set.remove(old);
      model.delete(old);
    }
    if (value % 50 !== 0) continue;
    const probe = Math.floor(random() * value);
    expect(set.below(probe)).toBe([...model].filter((one) => one < probe).length);
    expect(set.size).toBe(model.size);
  }
});

test("forgets what has left", () => {
  const set = new RankSet();
  for (let value = 0; value < 5_000; value += 1) set.add(value);
  for (let value = 0; value < 5_000; value += 1) set.remove(value);
  expect([set.size, set.below(10_000)]).toEqual([0, 0]);
});
