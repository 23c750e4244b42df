// Which requests of a BatchRoute call belong together: those that could run side by side in one engine, and that nothing else says where to
// run. Called by `router-service.ts`; how they are spread is the core's decision.
import { randomUUID } from "node:crypto";
import type { BatchRouteRequest, RouteRequest } from "../../gen/gpurouter/v1/router_pb.js";
import type { BatchRef } from "../core/model/request.js";
import { DEFAULT_TYPE } from "./to-model.js";

/** For each request of the call its batch; undefined for one that stands alone. */
export function batchRefs({ requests, batchSplit, minBatchSizePerGpu }: BatchRouteRequest): readonly (BatchRef | undefined)[] {
  const keys = requests.map(keyOf);
  const sizes = new Map<string, number>();
  for (const key of keys) if (key !== null) sizes.set(key, (sizes.get(key) ?? 0) + 1);
  const call = randomUUID();
  const refs = new Map<string, BatchRef>();
  for (const [key, size] of sizes) if (size > 1) refs.set(key, { id: `${call}-${refs.size}`, size, split: batchSplit ?? null, minPerGpu: minBatchSizePerGpu });
  return keys.map((key) => (key === null ? undefined : refs.get(key)));
}

/** The same for requests that belong together; null for those that have GPUs of their own. */
function keyOf({ modelId, type, specificGpuId, gpus, resourceRequirements }: RouteRequest): string | null {
  if (specificGpuId !== "" || gpus > 1) return null;
  return JSON.stringify([modelId, type || DEFAULT_TYPE, resourceRequirements?.minComputeCapability ?? "", resourceRequirements?.computeUnits ?? 0]);
}
