import { expect, test } from "@jest/globals";
import { sessionBlocks } from "../../../src/simulated-gpu/session-blocks.js";

test("a longer context of a session begins with the blocks of a shorter one; other sessions have others", () => {
  const long = sessionBlocks("chat", 5_000);
  expect(long).toHaveLength(9);
  expect(sessionBlocks("chat", 1_300)).toEqual(long.slice(0, 2));
  expect(new Set([...long, ...sessionBlocks("chat 2", 5_000), ...sessionBlocks("0/chat", 5_000)]).size).toBe(27);
  expect(sessionBlocks("chat", 511)).toEqual([]);
  expect(sessionBlocks("", 5_000)).toEqual([]);
});
