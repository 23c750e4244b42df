// Whether the scheduler takes what the configuration says of it: names that only it knows. Called by the loader, so that a misspelt
// strategy is an error of the file and not of the router's start.
import { strategies } from "../core/scheduling/registry.js";
import type { CoreSettings } from "../core/settings.js";
import { closestWord } from "../lib/closest-word.js";

/** What cannot be used, in the words of `configTrouble`; "" when all can. */
export function schedulingTrouble(core: CoreSettings): string {
  let names: readonly string[];
  try {
    names = strategies(core).map(({ name }) => name);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return `cannot be used:\n✖ ${error.message}\n  → at load_balancer.weights`;
  }
  if (names.includes(core.strategy)) return "";
  const meant = closestWord(core.strategy, names);
  return `cannot be used:\n✖ There is no strategy "${core.strategy}"${meant === null ? "." : `; did you mean "${meant}"?`} There are ${names.join(", ")}\n  → at load_balancer.strategy`;
}
