import { expect, test } from "@jest/globals";
import { assert, unreachable } from "../../../src/lib/assert.js";

test("assert throws the broken invariant, and nothing when it holds", () => {
  expect(() => assert(true, "fine")).not.toThrow();
  expect(() => assert(false, "one holder each")).toThrow("Invariant broken: one holder each");
});

test("unreachable shows what got there", () => {
  expect(() => unreachable({ kind: "new" } as never)).toThrow('Invariant broken: unexpected {"kind":"new"}');
});
