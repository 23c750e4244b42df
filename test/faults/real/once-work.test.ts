// The proof against overlapping runs can fail.
import { expect, test } from "@jest/globals";
import { readRuns } from "./once-work.js";

test("one run after the other is in order, whether the first came to its end or not", () => {
  expect(readRuns("1.10 begins\n1.10 works\n2.11 begins\n2.11 works\n2.11 ends\n")).toMatchObject({ completed: 1, interleaved: "" });
  expect(readRuns("1.10 begins\n1.10 ends\n2.11 begins\n2.11 ends\n")).toMatchObject({ completed: 2, interleaved: "" });
});

test("a run that writes after a later one has begun overlaps", () => {
  expect(readRuns("1.10 begins\n2.11 begins\n1.10 works\n2.11 ends\n").interleaved).toBe('line 3, "1.10 works", after 2.11 had begun');
});
