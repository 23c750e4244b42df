import { describe, expect, test } from "@jest/globals";
import { PrefixIndex } from "../../../../src/core/fleet/prefix-index.js";

describe("lengths", () => {
  test("are how far a prompt matches what each GPU has read", () => {
    const index = new PrefixIndex();
    index.placed(0, [1, 2, 3, 4]);
    index.placed(2, [1, 2, 9]);
    index.placed(5, [7, 8]);
    expect(Array.from(index.lengths([1, 2, 3, 5]).subarray(0, 6))).toEqual([3, 0, 2, 0, 0, 0]);
    expect(Array.from(index.lengths([7]).subarray(0, 6))).toEqual([0, 0, 0, 0, 0, 1]);
    expect(Array.from(index.lengths([6, 2, 3]).subarray(0, 6))).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("of the same prompt are new when something was placed meanwhile", () => {
    const index = new PrefixIndex();
    const prompt = [1, 2, 3];
    expect(index.lengths(prompt)[1]).toBe(0);
    index.placed(1, [1, 2]);
    expect(index.lengths(prompt)[1]).toBe(2);
    index.placed(1, prompt);
    expect(index.lengths(prompt)[1]).toBe(3);
  });

  test("of a GPU that was reset begin anew, and of that one only", () => {
    const index = new PrefixIndex();
    const prompt = [1, 2, 3];
    for (const gpu of [0, 1]) index.placed(gpu, prompt);
    expect(Array.from(index.lengths(prompt).subarray(0, 2))).toEqual([3, 3]);
    index.forget(0);
    expect(Array.from(index.lengths(prompt).subarray(0, 2))).toEqual([0, 3]);
    index.placed(0, [1]);
    expect(Array.from(index.lengths(prompt).subarray(0, 2))).toEqual([1, 3]);
    index.forget(0);
    index.forget(1);
    expect(Array.from(index.lengths(prompt).subarray(0, 2))).toEqual([0, 0]);
  });

  test("reach GPUs beyond the first columns", () => {
    const index = new PrefixIndex();
    index.placed(700, [1, 2]);
    index.placed(3, [1]);
    const lengths = index.lengths([1, 2]);
    expect([lengths[700], lengths[3], lengths[4]]).toEqual([2, 1, 0]);
  });
});

describe("blocks that most have read", () => {
  test("count for nobody, and the blocks behind them count as if they were not there", () => {
    const index = new PrefixIndex();
    for (let gpu = 0; gpu < 64; gpu += 1) index.placed(gpu, [1, 100 + gpu]);
    index.placed(70, [1, 100]);
    const lengths = index.lengths([1, 100, 5]);
    expect([lengths[0], lengths[1], lengths[70], lengths[71]]).toEqual([1, 0, 1, 0]);
  });

  test("below that number they count", () => {
    const index = new PrefixIndex();
    for (let gpu = 0; gpu < 63; gpu += 1) index.placed(gpu, [1, 100 + gpu]);
    const lengths = index.lengths([1, 100, 5]);
    expect([lengths[0], lengths[1], lengths[63]]).toEqual([2, 1, 0]);
  });
});

describe("what is remembered", () => {
  test("is bounded: blocks that nobody used for two generations are forgotten, those in use are not", () => {
    const index = new PrefixIndex(100);
    index.placed(1, [1]);
    index.placed(2, [2]);
    for (let block = 1_000; block < 1_250; block += 1) {
      index.placed(3, [block]);
      if (block % 20 === 0) index.placed(2, [2]);
    }
    expect(index.lengths([1])[1]).toBe(0);
    expect(index.lengths([2])[2]).toBe(1);
    expect(index.lengths([1_000])[3]).toBe(0);
    expect(index.lengths([1_249])[3]).toBe(1);
  });

  test("survives one generation", () => {
    const index = new PrefixIndex(100);
    index.placed(1, [1, 2]);
    for (let block = 1_000; block < 1_120; block += 1) index.placed(3, [block]);
    expect(index.lengths([1, 2, 3])[1]).toBe(2);
  });
});
