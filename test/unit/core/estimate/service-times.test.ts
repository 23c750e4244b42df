import { describe, expect, test } from "@jest/globals";
import { prefillMs, ServiceTimes, writeMsPerToken } from "../../../../src/core/estimate/service-times.js";
import type { LoadableModel } from "../../../../src/core/model/gpu.js";
import { modelId } from "../build.js";

const A100 = "NVIDIA A100-SXM4-80GB";
const T4 = "Tesla T4";
const loadable = (model: string, memoryMib: number, kvTokenBytes?: number): LoadableModel => ({ modelId: modelId(model), memoryMib, loadMs: 0, ...(kvTokenBytes ? { kvTokenBytes } : {}) });

/** Teaches the rates of a model on kind 0 one outcome. */
function teach(times: ServiceTimes, model: string, measuredMs = 30): void {
  const of = times.of(model);
  times.learnStep(of, 0, measuredMs, [{ times: of, presence: 1, concurrency: 4, kvTokens: 2_000 }]);
}

describe("what is assumed of a model that nobody has measured", () => {
  test("follows from the speed of the GPU's kind, whichever is known first", () => {
    const [kindsFirst, modelFirst] = [new ServiceTimes(), new ServiceTimes()];
    modelFirst.of("m");
    for (const times of [kindsFirst, modelFirst]) expect([times.kindOf(A100), times.kindOf(T4), times.kindOf(A100)]).toEqual([0, 1, 0]);
    const { modelId: _, ...rates } = kindsFirst.of("m");
    expect(modelFirst.of("m")).toMatchObject(rates);
    expect(rates.stepBaseMs[1]).toBeGreaterThan(3 * rates.stepBaseMs[0]!);
    expect(rates.prefillMsPerToken[1]).toBeGreaterThan(3 * rates.prefillMsPerToken[0]!);
  });

  test("follows from its size once somebody tells, until it has been measured", () => {
    const times = new ServiceTimes();
    times.kindOf(A100);
    const before = times.of("m").stepBaseMs[0]!;
    times.tell(loadable("m", 30_600, 65_536));
    expect(times.of("m").stepBaseMs[0]).toBeCloseTo(2 * before, 6);
    expect(times.of("m").kvWeight).toBe(0.5);
    teach(times, "m");
    const learned = times.of("m").stepBaseMs[0]!;
    times.tell(loadable("m", 61_200));
    expect(times.of("m").stepBaseMs[0]).toBe(learned);
  });

  test.each([0, Number.NaN, -1])("stays when somebody tells a size of %d", (memoryMib) => {
    const times = new ServiceTimes();
    times.kindOf(A100);
    const before = times.of("m").stepBaseMs[0];
    times.tell(loadable("m", memoryMib));
    expect(times.of("m").stepBaseMs[0]).toBe(before);
  });
});

describe("what was learned", () => {
  test("outlives any number of names that somebody makes up", () => {
    const times = new ServiceTimes();
    times.kindOf(A100);
    for (let turn = 0; turn < 50; turn += 1) teach(times, "real");
    const learned = times.of("real");
    for (let name = 0; name < 30_000; name += 1) {
      times.of(`name${name}`);
      if (name % 5_000 === 0) teach(times, "real");
    }
    expect(times.of("real")).toBe(learned);
    expect(times.of("name0")).not.toBe(learned);
  });

  test("has no part in what another kind needs", () => {
    const times = new ServiceTimes();
    times.kindOf(A100);
    times.kindOf(T4);
    const before = times.of("m").stepBaseMs[1];
    teach(times, "m");
    expect(times.of("m").stepBaseMs[1]).toBe(before);
  });

  test.each([Number.NaN, 0, -1])("is not from a step of %d ms", (measuredMs) => {
    const times = new ServiceTimes();
    times.kindOf(A100);
    const before = times.of("m").stepBaseMs[0];
    teach(times, "m", measuredMs);
    times.learnPrefill(times.of("m"), 0, measuredMs, 10, 0.1);
    expect([times.of("m").stepBaseMs[0], times.of("m").outcomes[0], times.of("m").prompts[0]]).toEqual([before, 0, 0]);
  });
});

test("a prompt takes longer the longer it is and the more the GPU does beside it; a written token costs a share of a step", () => {
  expect(prefillMs(0.1, 2_000, 10)).toBeGreaterThan(prefillMs(0.1, 1_000, 10));
  expect(prefillMs(0.1, 1_000, 30)).toBeGreaterThan(prefillMs(0.1, 1_000, 10));
  const times = new ServiceTimes();
  times.kindOf(A100);
  const perToken = writeMsPerToken(times.of("m"), 0);
  expect(perToken).toBeGreaterThan(0);
  expect(perToken).toBeLessThan(times.of("m").stepBaseMs[0]!);
});

test("a token's share of the iterations is larger where a GPU works on fewer requests at a time", () => {
  const times = new ServiceTimes();
  times.kindOf("NVIDIA A100-SXM4-80GB");
  const of = times.of("m");
  const alone = writeMsPerToken(of, 0, 1) - writeMsPerToken(of, 0, 8);
  expect(alone).toBeCloseTo(of.stepBaseMs[0]! * (1 - 1 / 8), 9);
  expect(writeMsPerToken(of, 0, 16)).toBe(writeMsPerToken(of, 0));
  expect(writeMsPerToken(of, 0, 100_000)).toBe(writeMsPerToken(of, 0));
});
