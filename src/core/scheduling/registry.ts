// Every plug-in, in one place. To add a filter, scorer or strategy: write its file, add its line here.
import type { CoreSettings } from "../settings.js";
import type { RequestFilter, StateFilter, Strategy } from "./contract.js";
import { avoid } from "./filters/avoid.js";
import { capability } from "./filters/capability.js";
import { health } from "./filters/health.js";
import { memory } from "./filters/memory.js";
import { model } from "./filters/model.js";
import { pin } from "./filters/pin.js";
import { slots } from "./filters/slots.js";
import { status } from "./filters/status.js";
import { utilization } from "./filters/utilization.js";
import { leastLoaded } from "./strategies/least-loaded.js";
import { weighted } from "./strategies/weighted.js";

/** What keeps a GPU from all work; the order is that of Explain. */
export function stateFilters(settings: CoreSettings): readonly StateFilter[] {
  return [status, health(settings), slots(settings), utilization(settings)];
}

/** In the order in which they run: the most selective first, `avoid` last because it yields when nothing else is left. */
export function requestFilters(settings: CoreSettings): readonly RequestFilter[] {
  return [pin, model, capability, memory(settings), avoid];
}

export function strategies(settings: CoreSettings): readonly Strategy[] {
  return [weighted(settings), leastLoaded];
}
