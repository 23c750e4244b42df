import type { FromSettings, Strategy } from "../contract.js";
import { bottleneck } from "../scorers/bottleneck.js";

/** The GPU that would have most left of what the request needs, judged by the resource that becomes scarcest. */
export const resourceBased: FromSettings<Strategy> = (settings) => ({
  name: "resource_based",
  scorers: [{ scorer: bottleneck(settings), weight: 1 }],
});
