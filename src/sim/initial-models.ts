// Where the models lie when a simulation begins: as an operator would place them who knows the long-run mix. The same for every policy.
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { engineMemoryMib, serviceTimes } from "../simulated-gpu/service-times.js";

/** Share of the engines' memory for weights: the rest is for key-value caches. */
const WEIGHT_SHARE = 0.7;
/** Less than this in the cache serves nobody well. */
const MIN_KV_TOKENS = 16_384;
const BATCH_OF_A_BUSY_GPU = 16;

/** Tokens per second that a model is asked for in the long run. */
export interface ModelDemand {
  readonly modelId: string;
  readonly inputRate: number;
  readonly outputRate: number;
}

/**
 * For each GPU the models that it holds: the model that is shortest of GPUs gets the least busy one that has room, until nothing
 * fits. Every model lies somewhere if it fits anywhere.
 */
export function initialModels(kinds: readonly GpuKind[], demands: readonly ModelDemand[]): string[][] {
  const loaded: string[][] = kinds.map(() => []);
  const freeMib = kinds.map((kind) => engineMemoryMib(kind) * WEIGHT_SHARE);
  const open = new Set(demands);
  while (open.size > 0) {
    const next = [...open].reduce((worst, each) => (pressure(each, kinds, loaded) > pressure(worst, kinds, loaded) ? each : worst));
    let best = -1;
    let bestLoad = Number.POSITIVE_INFINITY;
    kinds.forEach((kind, gpu) => {
      const { weightsMib, kvCapacityTokens } = serviceTimes(kind, next.modelId);
      // A model that is too large for the share may still have a GPU to itself.
      const fits = weightsMib <= freeMib[gpu]! || (loaded[gpu]!.length === 0 && kvCapacityTokens >= MIN_KV_TOKENS);
      if (loaded[gpu]!.includes(next.modelId) || !fits) return;
      const load = demands.reduce((sum, each) => sum + (loaded[gpu]!.includes(each.modelId) ? pressure(each, kinds, loaded) : 0), 0) + cost(next, kind) / 1000;
      if (load >= bestLoad) return;
      bestLoad = load;
      best = gpu;
    });
    if (best < 0) {
      open.delete(next);
      continue;
    }
    loaded[best]!.push(next.modelId);
    freeMib[best]! -= serviceTimes(kinds[best]!, next.modelId).weightsMib;
  }
  return loaded;
}

/** Share of its GPUs that a model's demand takes, when each takes as much as it is fast; Infinity while it lies nowhere. */
function pressure(demand: ModelDemand, kinds: readonly GpuKind[], loaded: readonly (readonly string[])[]): number {
  let speed = 0;
  kinds.forEach((kind, gpu) => {
    if (loaded[gpu]!.includes(demand.modelId)) speed += 1 / Math.max(1e-9, cost(demand, kind));
  });
  return speed === 0 ? Number.POSITIVE_INFINITY : 1 / speed;
}

/** Share of a GPU of a kind that a model's whole demand would take. */
function cost({ modelId, inputRate, outputRate }: ModelDemand, kind: GpuKind): number {
  const { prefillMsPerToken, stepBaseMs, stepMsPerRequest } = serviceTimes(kind, modelId);
  return (inputRate * prefillMsPerToken + outputRate * (stepBaseMs / BATCH_OF_A_BUSY_GPU + stepMsPerRequest)) / 1000;
}
