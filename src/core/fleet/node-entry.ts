// A node of the fleet: whether its agent is there, what serves on it, which GPUs are its. Made and changed by fleet.ts, read by filters, scorers
// and views.
import type { RunnerInfo, RunnerLoad } from "../model/gpu.js";
import type { NodeId } from "../model/ids.js";

/** A node and what serves on it. */
export interface NodeEntry {
  readonly nodeId: NodeId;
  connected: boolean;
  /** Not connected since a moment ago: it keeps the work that it has. */
  suspect: boolean;
  /** New for each start of its agent; "" before the first hello of this router's life. */
  instanceId: string;
  /** Number of the last thing that this start of its agent told of a GPU. */
  toldUpTo: number;
  runners: readonly RunnerInfo[];
  /** What the engines of its runners last said, by runner, and when that was so, ms. Empty while it is not connected. */
  readonly loads: Map<string, { readonly load: RunnerLoad; readonly atMs: number }>;
  readonly gpus: number[];
}

/** One that nothing is known of yet. */
export function newNode(nodeId: NodeId): NodeEntry {
  return { nodeId, connected: false, suspect: false, instanceId: "", toldUpTo: 0, runners: [], loads: new Map(), gpus: [] };
}
