// What makes a class of waiting requests: the same band and the same needs. Pure; used by the waiting queue and its standings.
import { hash32 } from "../../lib/random.js";
import type { ResourceEstimate } from "../model/decision.js";
import { DEFAULT_PRIORITY, isPromised } from "../model/request.js";
import type { Waiting } from "./eligibility-class.js";

/** The late wait behind all that can still be in time, and before priority 1, where nobody waits for an answer. */
export const LATE_BAND = 1.5;
/** Memory needs are compared in steps of this, so that similar requests share a class; a class is judged by its own head. */
const MEMORY_STEP_MIB = 512;
/** Batches go to different GPUs, so they wait in classes of their own: in so many, so that a pass does not grow with their number. */
const BATCH_CLASSES = 64;

/** Whose turn it is: by priority; the late before priority 1. */
export function bandOf({ spec, late }: Pick<Waiting, "spec" | "late">): number {
  return late ? Math.min(LATE_BAND, spec.priority) : spec.priority;
}

/** Tokens that it is expected to read and write. */
export function tokensOf(estimate: ResourceEstimate): number {
  return (estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0);
}

/** The same for requests that fit the same GPUs, or nearly so, and that quotas count alike. */
export function classKey(waiting: Waiting): string {
  const { spec, late, estimate, avoidGpuId } = waiting;
  const { requirements, wishes } = spec;
  const batch = spec.batch ? `\nbatch ${hash32(spec.batch.id) % BATCH_CLASSES}` : "";
  const memoryStep = Math.ceil(estimate.memoryMib / MEMORY_STEP_MIB);
  // What is promised something, and what is not, fit different GPUs; so does what may run again and what may not.
  const band = `${bandOf(waiting)}${late ? "late" : ""}${late && spec.priority > DEFAULT_PRIORITY ? "priority" : ""}${isPromised(spec) ? "promised" : ""}${spec.idempotent ? "" : "once"}`;
  return `${band}\n${spec.modelId}\n${spec.type}\n${spec.specificGpuId}\n${spec.strategy}\n${avoidGpuId}\n${requirements.minComputeCapability},${requirements.computeUnits},${memoryStep},${wishes?.gpus ?? 1}${batch}`;
}
