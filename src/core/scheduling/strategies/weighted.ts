import { health } from "../scorers/health.js";
import { performance } from "../scorers/performance.js";
import { priority } from "../scorers/priority.js";
import { typeCompatibility } from "../scorers/type-compatibility.js";
import { usage } from "../scorers/usage.js";
import { weightedScorers } from "../weighted-scorers.js";
import type { FromSettings, Strategy } from "../contract.js";

/** The requirements' reference score (row R2), with the configured weights. */
export const weighted: FromSettings<Strategy> = (settings) => ({
  name: "weighted",
  scorers: weightedScorers([usage, priority, typeCompatibility, performance, health], settings.weights),
});
