import { describe, expect, test } from "@jest/globals";
import { computeCapability, computeCapabilityText, isBackground, isPromised, isTerminal, type Wishes } from "../../../../src/core/model/request.js";
import { spec, wishes } from "../build.js";

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

describe("who waits for a request", () => {
  const batch = { priority: 1, type: "batch" } as const;

  test.each<[Partial<Wishes>]>([[{ firstOutputMs: 1 }], [{ totalMs: 1 }], [{ deadlineAtMs: 1 }]])("with %o something was promised to it, and it is not in the background", (wished) => {
    const asked = spec("a", { ...batch, wishes: wishes(wished) });
    expect([isPromised(asked), isBackground(asked)]).toEqual([true, false]);
  });

  test.each<[Partial<Wishes>]>([[{}], [{ sessionKey: "s" }], [{ prefixHashes: [1] }], [{ gpus: 2 }], [{ preemptible: true }], [{ checkpoint: true }], [{ whenLate: "fail" }]])("with no more than %o nothing was", (wished) => {
    const asked = spec("a", { ...batch, wishes: wishes(wished) });
    expect([isPromised(asked), isBackground(asked)]).toEqual([false, true]);
    expect(isPromised(spec("b", batch))).toBe(false);
  });

  test.each([
    [5, "batch", true],
    [5, "training", true],
    [5, "fine-tuning", true],
    [1, "inference", true],
    [2, "inference", false],
    [5, "inference", false],
  ] as const)("without a promise, of priority %i and type %s, it is in the background: %s", (priority, type, expected) => {
    expect(isBackground(spec("a", { priority, type }))).toBe(expected);
  });
});
