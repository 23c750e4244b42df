// The fluid bound of a study: reads its workload and asks fluid-bound.ts.
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { plannedFleet } from "./fleets.js";
import { fluidBound, fluidDemands } from "./fluid-bound.js";
import type { Study } from "./trials.js";
import type { Tenant } from "./workload/arrival.js";
import { buildWorkload } from "./workload/build.js";
import { TraceError } from "./workload/trace-error.js";

/** The largest load that the study's fleet could carry at all, averaged over its seeds. Rejects with a `TraceError`. */
export async function boundOf({ scenario, traces, fleet, durationMs, scaling, seeds }: Study): Promise<number> {
  const kinds = (await plannedFleet(fleet ?? scenario.fleet, traces)).flatMap(({ gpus }) => gpus.map(({ kind }) => kind as GpuKind));
  const workload = await buildWorkload(scenario, traces, { load: 1, scaling, durationMs });
  const fixedUsers = new Set(scenario.parts.filter(({ scales }) => !scales).flatMap(({ type, users }) => users.map(({ name }) => `${type} ${name}`)));
  const fixed = ({ type, name }: Tenant): boolean => fixedUsers.has(`${type} ${name}`);
  const bounds = seeds.map((seed) => {
    const scaled = fluidDemands(workload, seed, (tenant) => !fixed(tenant));
    if (scaled.size === 0) throw new TraceError(`${scenario.name} asks for nothing with seed ${seed} that grows with the load, so no load is its limit: give more --minutes`);
    return fluidBound(kinds, scaled, fluidDemands(workload, seed, fixed));
  });
  return bounds.reduce((sum, bound) => sum + bound, 0) / bounds.length;
}
