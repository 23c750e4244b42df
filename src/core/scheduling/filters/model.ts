import type { RequestFilter } from "../contract.js";

/** The GPU must have a runner that serves the request's model and type. */
export const model: RequestFilter = {
  name: "model",
  applies: () => true,
  needed: ({ spec, gpus }) => `a runner that serves ${spec.modelId} for ${spec.type}${gpus > 1 ? ` on ${gpus} GPUs` : ""}`,
  keep(fleet, ask, candidates, count) {
    const { runnerOf, everywhere } = fleet.runners.for(fleet, ask.spec.modelId, ask.spec.type, ask.gpus);
    if (everywhere) return count;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      if (runnerOf[gpu]! >= 0) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses: (fleet, ask) => fleet.runners.for(fleet, ask.spec.modelId, ask.spec.type, ask.gpus).somewhere,
};
