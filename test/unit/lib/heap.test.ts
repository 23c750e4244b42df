import { describe, expect, test } from "@jest/globals";
import { Heap } from "../../../src/lib/heap.js";
import { seededRandom } from "../../../src/lib/random.js";

const ascending = (a: number, b: number): boolean => a < b;

function drain(heap: Heap<number>): number[] {
  const out: number[] = [];
  for (let item = heap.pop(); item !== undefined; item = heap.pop()) out.push(item);
  return out;
}

describe("Heap", () => {
  test.each([[[]], [[1]], [[2, 1]], [[3, 1, 2]], [[5, 5, 1, 4, 1]]])("gives %j in order, however it was filled", (items) => {
    const sorted = items.toSorted((a, b) => a - b);
    expect(drain(new Heap(ascending, [...items]))).toEqual(sorted);
    const pushed = new Heap(ascending);
    for (const item of items) pushed.push(item);
    expect(drain(pushed)).toEqual(sorted);
  });

  test("keeps order when pushes and pops are mixed at random", () => {
    const random = seededRandom(7);
    const heap = new Heap<number>(ascending);
    const model: number[] = [];
    for (let turn = 0; turn < 2_000; turn += 1) {
      if (random() < 0.6) {
        const item = Math.floor(random() * 100);
        heap.push(item);
        model.push(item);
        model.sort((a, b) => a - b);
      } else {
        expect(heap.pop()).toBe(model.shift());
      }
      expect(heap.size).toBe(model.length);
    }
  });
});
