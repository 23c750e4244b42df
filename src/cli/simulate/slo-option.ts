// `--slo first=2s,total=2.5x,floor=2s`: one SLO for everybody who has one.
import { InvalidArgumentError } from "commander";

import type { TenantSlo } from "../../sim/workload/arrival.js";
import type { Scenario } from "../../sim/workload/scenario.js";
import { duration } from "../option-parsers.js";

/** The parts that are given; the others stay as the scenario has them. */
export function sloOption(text: string): Partial<TenantSlo> {
  let slo: Partial<TenantSlo> = {};
  for (const part of text.split(",")) {
    const [, name, value = ""] = /^(first|total|floor)=(.+)$/.exec(part.trim()) ?? [];
    if (name === "first") slo = { ...slo, firstOutputMs: duration(value) };
    else if (name === "floor") slo = { ...slo, totalFloorMs: duration(value) };
    else if (name === "total" && /^\d+(\.\d+)?x$/.test(value) && Number.parseFloat(value) >= 1) slo = { ...slo, totalFactor: Number.parseFloat(value) };
    else throw new InvalidArgumentError("Give first=2s for the first output, total=2.5x for the whole answer against an idle GPU, floor=2s for the least time for it; some or all, with commas.");
  }
  return slo;
}

/** The scenario with the SLO for all users that have one. */
export function withSlo(scenario: Scenario, slo: Partial<TenantSlo>): Scenario {
  return { ...scenario, parts: scenario.parts.map((part) => ({ ...part, users: part.users.map((user) => ({ ...user, slo: user.slo === null ? null : { ...user.slo, ...slo } })) })) };
}
