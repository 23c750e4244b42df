import { expect, test } from "@jest/globals";
import { ChurnMap } from "../../../src/lib/churn-map.js";
import { seededRandom } from "../../../src/lib/random.js";

test("does what a Map does, in the same order, whatever comes and goes", () => {
  const random = seededRandom(11);
  const churn = new ChurnMap<string, number>();
  const model = new Map<string, number>();
  for (let turn = 0; turn < 5_000; turn += 1) {
    const key = `k${Math.floor(random() * 40)}`;
    if (random() < 0.5) {
      churn.set(key, turn);
      model.set(key, turn);
    } else {
      expect(churn.delete(key)).toBe(model.delete(key));
    }
    expect([churn.get(key), churn.has(key), churn.size]).toEqual([model.get(key), model.has(key), model.size]);
  }
  expect([...churn]).toEqual([...model]);
  expect([...churn.keys()]).toEqual([...model.keys()]);
  expect([...churn.values()]).toEqual([...model.values()]);
});

test("may be changed while it is walked", () => {
  const churn = new ChurnMap<string, number>().set("a", 1).set("b", 2).set("c", 3);
  const seen: number[] = [];
  for (const [key, value] of churn) {
    seen.push(value);
    churn.delete(key);
    if (key === "a") churn.delete("b");
  }
  expect(seen).toEqual([1, 3]);
  expect(churn.size).toBe(0);
});

test("can be walked with a function, and emptied", () => {
  const churn = new ChurnMap<string, number>().set("a", 1).set("b", 2);
  const seen: (readonly [string, number])[] = [];
  churn.forEach((value, key) => seen.push([key, value]));
  expect(seen).toEqual([["a", 1], ["b", 2]]);
  churn.clear();
  expect([churn.size, churn.has("a"), [...churn]]).toEqual([0, false, []]);
  expect([...churn.set("c", 3)]).toEqual([["c", 3]]);
});
