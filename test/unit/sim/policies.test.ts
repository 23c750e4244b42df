import { describe, expect, test } from "@jest/globals";

import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { ABLATIONS, HYBRID, isolated, LEAST_LOADED, PEERS, PIECES, policiesNamed, strategyNames } from "../../../src/sim/policies.js";

describe("policies by name", () => {
  test("every policy's name gives that policy", () => {
    for (const policy of [HYBRID, LEAST_LOADED, ...PEERS, ...ABLATIONS, isolated(HYBRID, 0.3)]) expect(policiesNamed(policy.name)).toEqual([policy]);
  });

  test("every strategy of the router can be simulated", () => {
    expect(policiesNamed("strategies")).toHaveLength(strategyNames().length);
    for (const name of strategyNames()) expect(policiesNamed(name)).toMatchObject([{ strategy: name, isolation: 0 }]);
  });

  test.each([
    ["fifo", /no policy "fifo": take one of hybrid/],
    ["hybrid-luck", /hybrid-PIECE with one of late_binding/],
    ["weighted-placement", /takes out no piece/],
    ["least_loaded@1/1", /below 1/],
    ["least_loaded@1/0", /below 1/],
  ])("%s is refused with what there is", (name, message) => {
    expect(policiesNamed(name)).toMatch(message);
  });

  test("taking out a piece changes settings, and all pieces are there", () => {
    const pieces = Object.values(PIECES).flatMap((piece) => Object.entries(piece));
    for (const [setting, value] of pieces) expect(DEFAULT_CORE_SETTINGS.hybrid[setting as keyof typeof DEFAULT_CORE_SETTINGS.hybrid]).not.toEqual(value);
    const booleans = Object.entries(DEFAULT_CORE_SETTINGS.hybrid).filter(([, value]) => value === true).map(([name]) => name);
    expect(pieces.map(([name]) => name)).toEqual(expect.arrayContaining(booleans));
  });
});
