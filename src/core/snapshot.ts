// The durable half of the state as one plain value, so that recovery need not fold the log from its beginning.
import { assert } from "../lib/assert.js";
import type { StoredBatch } from "./batches/batch-book.js";
import type { StateFilter } from "./fleet/fleet.js";
import type { StoredMaintenance } from "./maintenance/maintenance-book.js";
import type { ResourceEstimate } from "./model/decision.js";
import type { GpuInventory } from "./model/gpu.js";
import type { GpuId, NodeId } from "./model/ids.js";
import { gpusOf, type Request } from "./model/request.js";
import { STOP_GRACE_MS } from "./records.js";
import type { StoredQuotas } from "./quota/quotas.js";
import { State, type StateLimits } from "./state.js";

/** Plain data: survives any structured encoding. */
export interface Snapshot {
  readonly epoch: number;
  readonly nextSequence: number;
  readonly endedCount: number;
  /** By index. */
  readonly gpus: readonly { readonly nodeId: NodeId; readonly inventory: GpuInventory }[];
  /** In the order of the live map, which the digest depends on. */
  readonly requests: readonly LiveRequest[];
  /** What users and teams were given and have used; old versions did not write it. */
  readonly quotas?: StoredQuotas;
  /** Absent when nothing was ever taken out of service. */
  readonly maintenance?: StoredMaintenance;
  /** Batches under way; absent when there are none. */
  readonly batches?: readonly StoredBatch[];
  readonly digest: number;
}

interface LiveRequest {
  readonly request: Request;
  readonly reservedMib: number;
  /** There while it waits. */
  readonly waiting: { readonly estimate: ResourceEstimate; readonly avoidGpuId: GpuId | ""; readonly retryAtMs: number } | null;
}

/** Cost: O(live requests); payloads are shared, not copied. */
export function takeSnapshot(state: State): Snapshot {
  return {
    epoch: state.epoch,
    nextSequence: state.nextSequence,
    endedCount: state.endedCount,
    gpus: state.fleet.inventory.map((inventory, index) => ({ nodeId: state.fleet.nodeOf[index]!.nodeId, inventory })),
    requests: [...state.requests.values()].map((request) => {
      const retry = state.retryOf(request.spec.requestId);
      const waiting = retry?.waiting ?? state.queue.get(request.spec.requestId);
      return {
        request: { ...request },
        reservedMib: state.reservedMib(request),
        waiting: waiting && { estimate: waiting.estimate, avoidGpuId: waiting.avoidGpuId, retryAtMs: retry?.retryAtMs ?? 0 },
      };
    }),
    quotas: state.quotas.store(),
    ...(!state.maintenance.empty && { maintenance: state.maintenance.stored() }),
    ...(!state.batches.empty && { batches: state.batches.stored() }),
    digest: state.digest(),
  };
}

/** Throws when the snapshot does not give the state that it was taken of. */
export function restoreSnapshot(snapshot: Snapshot, stateFilters: readonly StateFilter[], limits: StateLimits): State {
  const state = new State(stateFilters, limits);
  state.epoch = snapshot.epoch;
  state.nextSequence = snapshot.nextSequence;
  state.endedCount = snapshot.endedCount;
  snapshot.gpus.forEach(({ nodeId, inventory }, index) => {
    state.fleet.register(index, nodeId, inventory);
    if (inventory.gpuId === "") state.fleet.retire(index);
  });
  if (snapshot.quotas) state.quotas.restore(snapshot.quotas);
  if (snapshot.batches) state.batches.restore(snapshot.batches);
  if (snapshot.maintenance) state.maintenance.restore(snapshot.maintenance);
  const held: { readonly request: Request; readonly reservedMib: number }[] = [];
  for (const { request, reservedMib, waiting } of snapshot.requests) {
    const restored: Request = { ...request };
    const { requestId } = restored.spec;
    state.requests.set(requestId, restored);
    if (restored.deadlineAtMs > 0) state.deadlines.schedule(requestId, restored.deadlineAtMs);
    if (restored.stop) state.deadlines.schedule(requestId, restored.stop.atMs + STOP_GRACE_MS);
    if (restored.attempt === 0) state.quotas.waits(restored.spec);
    if (waiting) {
      state.waitAgain(restored, waiting.estimate, waiting.avoidGpuId, waiting.retryAtMs, 0);
    } else {
      held.push({ request: restored, reservedMib });
    }
  }
  // In the order in which they were placed: what a GPU has done of its work since follows from that.
  held.sort((a, b) => a.request.placedAtMs - b.request.placedAtMs || a.request.sequence - b.request.sequence);
  for (const { request, reservedMib } of held) {
    const gpus = gpusOf(request).map((gpuId) => state.fleet.indexOf(gpuId));
    state.hold(request, gpus, reservedMib, request.decision!.estimate, request.placedAtMs);
    if (request.phase === "running") state.started(request);
  }
  assert(state.digest() === snapshot.digest, "a snapshot restores the state it was taken of");
  return state;
}
