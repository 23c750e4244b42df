// Values of the simulator's options: lists of policies, loads and seeds, fleets. Each parser says what it wanted.
import { InvalidArgumentError } from "commander";

import type { NodeGroup } from "../../sim/fleets.js";
import { policiesNamed, type Policy } from "../../sim/policies.js";
import type { FleetPlan } from "../../sim/workload/scenario.js";
import { GPU_KIND_NAMES, isGpuKind } from "../../simulated-gpu/gpu-kinds.js";

const MAX_SEEDS = 1000;
const MAX_LOAD = 1000;
const MAX_GPUS = 16_384;

/** "hybrid,peers": every policy once, in order. */
export function policyList(text: string): Policy[] {
  const found = new Map<string, Policy>();
  for (const name of text.split(",")) {
    const named = policiesNamed(name.trim());
    if (typeof named === "string") throw new InvalidArgumentError(`${named}.`);
    for (const policy of named) found.set(policy.name, policy);
  }
  return [...found.values()];
}

/** "0.5,1,2": rising. */
export function loadList(text: string): number[] {
  const loads = text.split(",").map((each) => (each.trim() === "" ? Number.NaN : Number(each)));
  if (loads.some((load) => !(load > 0 && load <= MAX_LOAD))) throw new InvalidArgumentError(`Give multiples of the scenario's own load, above 0 and at most ${MAX_LOAD}, such as 1 or 0.5,1,2.`);
  return [...new Set(loads)].sort((one, other) => one - other);
}

/** "1..10" or "3,5,8" or "7". */
export function seedList(text: string): number[] {
  const [, from, to] = /^(\d{1,9})\.\.(\d{1,9})$/.exec(text.trim()) ?? [];
  const count = Number(to) - Number(from) + 1;
  const seeds = from === undefined ? text.split(",").map((each) => (/^\s*\d{1,9}\s*$/.test(each) ? Number(each) : Number.NaN)) : count >= 1 && count <= MAX_SEEDS ? Array.from({ length: count }, (_, index) => Number(from) + index) : [];
  if (seeds.length === 0 || seeds.length > MAX_SEEDS || seeds.some(Number.isNaN)) throw new InvalidArgumentError(`Give seeds such as 1, 1..10 or 3,5,8: whole numbers, ${MAX_SEEDS} at most.`);
  return [...new Set(seeds)];
}

/** "8xH100-80GB,2x8xL40S": a node of 8 and two nodes of 8; "openb:128" for so many GPUs of that cluster. */
export function fleetPlan(text: string): FleetPlan {
  const [, openb] = /^openb:(\d{1,5})$/.exec(text.trim()) ?? [];
  if (openb !== undefined && Number(openb) > 0) return { openbGpus: Number(openb) };
  const groups = text.split(",").map((each): NodeGroup => {
    const [, nodes = "1", gpus = "1", kind = ""] = /^(?:(\d{1,5})x)??(?:(\d{1,5})x)?([A-Za-z][\w-]*)$/.exec(each.trim()) ?? [];
    if (!isGpuKind(kind) || Number(nodes) < 1 || Number(gpus) < 1) {
      throw new InvalidArgumentError(`"${each}" is no group of GPUs: write 8xH100-80GB for a node of 8, 2x8xL40S for two of them, openb:128 for a cut of that cluster. Kinds: ${GPU_KIND_NAMES.join(", ")}.`);
    }
    return { kind, gpus: Number(gpus), nodes: Number(nodes) };
  });
  if (groups.reduce((sum, { gpus, nodes }) => sum + gpus * nodes, 0) > MAX_GPUS) throw new InvalidArgumentError(`Give at most ${MAX_GPUS} GPUs.`);
  return { groups };
}
