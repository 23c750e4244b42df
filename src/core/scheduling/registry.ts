// Every plug-in, in one place. To add a filter, scorer or strategy: write its file, add its line here.
import type { CoreSettings } from "../settings.js";
import type { RequestFilter, StateFilter, Strategy } from "./contract.js";
import { avoid } from "./filters/avoid.js";
import { batch } from "./filters/batch.js";
import { capability } from "./filters/capability.js";
import { empty } from "./filters/empty.js";
import { exclusive } from "./filters/exclusive.js";
import { gang } from "./filters/gang.js";
import { health } from "./filters/health.js";
import { maintenance } from "./filters/maintenance.js";
import { memory } from "./filters/memory.js";
import { model } from "./filters/model.js";
import { pin } from "./filters/pin.js";
import { quota } from "./filters/quota.js";
import { probe } from "./filters/probe.js";
import { reserved } from "./filters/reserved.js";
import { slots } from "./filters/slots.js";
import { status } from "./filters/status.js";
import { suspect } from "./filters/suspect.js";
import { utilization } from "./filters/utilization.js";
import { capabilityBased } from "./strategies/capability-based.js";
import { dynamic } from "./strategies/dynamic.js";
import { hybrid } from "./strategies/hybrid.js";
import { leastLoaded } from "./strategies/least-loaded.js";
import { leastOutstandingWeighted } from "./strategies/least-outstanding-weighted.js";
import { leastOutstanding } from "./strategies/least-outstanding.js";
import { llmDLike } from "./strategies/llm-d-like.js";
import { memoryOptimized } from "./strategies/memory-optimized.js";
import { peakEwma } from "./strategies/peak-ewma.js";
import { powerOfTwo } from "./strategies/power-of-two.js";
import { priorityBased } from "./strategies/priority-based.js";
import { random } from "./strategies/random.js";
import { resourceBased } from "./strategies/resource-based.js";
import { roundRobin } from "./strategies/round-robin.js";
import { secondsOfWork } from "./strategies/seconds-of-work.js";
import { taskSpecific } from "./strategies/task-specific.js";
import { weighted } from "./strategies/weighted.js";

/** What keeps a GPU from all work; the order is that of Explain. */
export function stateFilters(settings: CoreSettings): readonly StateFilter[] {
  return [status, suspect, maintenance, health(settings), exclusive, slots(settings), utilization(settings)];
}

/** In the order in which they run: the most selective first. */
export function requestFilters(settings: CoreSettings): readonly RequestFilter[] {
  return [quota, pin, model, probe, capability, empty, memory(settings), reserved()];
}

/** Those that judge what all others, a strategy's own too, have left: `avoid` and `batch` yield when they would leave nothing. */
export const lastFilters: readonly RequestFilter[] = [avoid, gang, batch];

export function strategies(settings: CoreSettings): readonly Strategy[] {
  return [
    hybrid(settings),
    weighted(settings),
    dynamic(),
    priorityBased(settings),
    resourceBased(settings),
    capabilityBased,
    leastLoaded,
    roundRobin,
    memoryOptimized,
    taskSpecific(settings),
    random,
    // What the field does, to measure against.
    leastOutstanding,
    leastOutstandingWeighted,
    powerOfTwo,
    peakEwma,
    llmDLike(),
    secondsOfWork,
  ];
}
