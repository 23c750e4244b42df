import { isBackground } from "../../model/request.js";
import type { FromSettings, RequestFilter } from "../contract.js";

/**
 * Work in the background that wants whole GPUs takes only those that the models which lie there can do without: a training job stays for as
 * long as it takes, and who waits for an answer does not. Who has waited too long is past this.
 */
export const modelRoom: FromSettings<RequestFilter> = ({ hybrid }) => ({
  name: "model_room",
  healsWithTime: true,
  applies: ({ spec, exclusive, band }) => hybrid.modelRoom && exclusive && band < Number.POSITIVE_INFINITY && isBackground(spec),
  needed: () => "a GPU that the models it serves can do without",
  shortfall: { unit: "such GPUs too few for what its models are asked for", by: (fleet, { gpus }, gpu) => fleet.modelRoom.lacking(gpu, gpus) },
  keep(fleet, { gpus }, candidates, count) {
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      // What somebody has to himself is not counted on: for what is to come, the next such work takes nothing more from anybody.
      if (fleet.modelRoom.lacking(gpu, fleet.exclusive[gpu]! > 0 ? 0 : gpus) <= 0) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses: () => true,
});
