import { expect, test } from "@jest/globals";
import { putLast } from "../../../src/lib/put-last.js";

test("what was put longest ago goes first, and what is put again counts as new", () => {
  const map = new Map<string, number>();
  for (const [key, value] of [["a", 1], ["b", 2], ["a", 3], ["c", 4]] as const) putLast(map, key, value, 2);
  expect([...map]).toEqual([["a", 3], ["c", 4]]);
});
