import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { PrefixCache } from "../../../src/simulated-gpu/prefix-cache.js";

describe("the prefix cache", () => {
  test("finds what it holds of the front of a prompt, in tokens", () => {
    const cache = new PrefixCache(10 * 512);
    cache.insert([1, 2, 3]);
    expect(cache.tokens).toBe(3 * 512);
    expect(cache.match([1, 2, 3, 4])).toBe(3 * 512);
    expect(cache.match([1, 9, 3])).toBe(512);
    expect(cache.match([9, 2, 3])).toBe(0);
    expect(cache.match([])).toBe(0);
  });

  test("keeps spaces apart, which share its room", () => {
    const cache = new PrefixCache(3 * 512);
    cache.insert([1, 2], 1);
    expect([cache.match([1, 2], 1), cache.match([1, 2], 2), cache.match([1, 2])]).toEqual([2 * 512, 0, 0]);
    cache.insert([1, 2], 2);
    expect([cache.match([1, 2], 1), cache.match([1, 2], 2), cache.tokens]).toEqual([512, 2 * 512, 3 * 512]);
  });

  test("forgets the prompt that was not used for longest, its end first", () => {
    const cache = new PrefixCache(4 * 512);
    cache.insert([1, 2]);
    cache.insert([5, 6]);
    expect(cache.match([1, 2])).toBe(2 * 512);
    cache.insert([8]);
    expect(cache.match([5, 6])).toBe(512);
    cache.insert([9]);
    expect(cache.match([1, 2])).toBe(512);
  });

  test("holds the front of a prompt that is larger than itself", () => {
    const cache = new PrefixCache(2 * 512 + 511);
    cache.insert([1, 2, 3, 4]);
    expect([cache.match([1, 2, 3, 4]), cache.tokens]).toEqual([2 * 512, 2 * 512]);
  });

  test("holds nothing without room", () => {
    const cache = new PrefixCache(511);
    cache.insert([1]);
    expect(cache.tokens).toBe(0);
  });

  test("never holds more than it may, and finds at once what it has just been given", () => {
    fc.assert(
      fc.property(fc.nat(8), fc.array(fc.array(fc.nat(20), { maxLength: 10 }), { maxLength: 30 }), (blocks, prompts) => {
        const cache = new PrefixCache(blocks * 512);
        for (const prompt of prompts) {
          const chain = [...new Set(prompt)];
          cache.insert(chain);
          expect(cache.tokens).toBeLessThanOrEqual(blocks * 512);
          expect(cache.match(chain)).toBe(Math.min(chain.length, blocks) * 512);
        }
      }),
    );
  });
});
