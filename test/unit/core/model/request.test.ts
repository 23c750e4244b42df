import { describe, expect, test } from "@jest/globals";
import { computeCapability, computeCapabilityText, isTerminal } from "../../../../src/core/model/request.js";

describe("computeCapability", () => {
  test.each([
    ["", 0],
    ["7", 7_000],
    ["7.0", 7_000],
    ["8.6", 8_006],
    ["8.9", 8_009],
    ["8.10", 8_010],
    ["12.0", 12_000],
  ])("of %j is %i", (text, expected) => {
    expect(computeCapability(text)).toBe(expected);
  });

  test("compares as version numbers do", () => {
    const ascending = ["6.1", "7.0", "8.0", "8.9", "8.10", "9.0", "10.0", "12.1"];
    expect(ascending.map(computeCapability)).toEqual(ascending.map(computeCapability).toSorted((a, b) => a - b));
  });

  test.each(["8,9", "8.", ".9", "8.9.1", "-8.9", " 8.9", "8.9 ", "sm_89", "1e3", "1234.0", "8.1234"])("of %j is not a number", (text) => {
    expect(computeCapability(text)).toBeNaN();
  });

  test.each(["8.9", "8.10", "12.0", ""])("of %j is read back by computeCapabilityText", (text) => {
    expect(computeCapabilityText(computeCapability(text))).toBe(text);
  });
});

test.each([
  ["queued", false],
  ["placed", false],
  ["running", false],
  ["completed", true],
  ["failed", true],
  ["cancelled", true],
] as const)("%s is final: %s", (phase, expected) => {
  expect(isTerminal(phase)).toBe(expected);
});
