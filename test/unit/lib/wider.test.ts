import { expect, test } from "@jest/globals";
import { wider } from "../../../src/lib/wider.js";

test.each([
  [Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0)],
  [Int16Array.of(-1, 2), Int16Array.of(-1, 2, 0)],
  [Float64Array.of(0.5, Number.NaN), Float64Array.of(0.5, Number.NaN, 0)],
])("a wider column keeps its kind and what stands in it: %p", (column, expected) => {
  expect(wider(column, 3)).toEqual(expected);
});
